"""The calls that may come from any thread; Presence and Tracker share them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ._dispatch import Dispatcher
from ._errors import ForkedError, InvalidArgument, InvalidMeta, NotTracked, PresenceError, StaleRef, WrongState
from ._native import Core
from ._options import Options, option_text
from ._owners import MetaOrFunction, Owner, Owners, Tracked
from ._single import Single
from ._types import Entry, Member, Stats, entry_from_row, member_from_row
from ._values import key_bytes, meta_bytes, topic_bytes, topic_text


class Calls(Single):
    """What needs the core alone."""

    _core: Core | None = None
    _owners: Owners | None = None
    _dispatcher: Dispatcher | None = None

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = Options(options)

    def _started(self) -> bool:
        return self._core is not None and not self._core.stopped

    def _open(self) -> Core:
        core = self._core
        if core is None:
            raise WrongState("not started")
        return core

    def _owner_id(self, owner: Any) -> int:
        if type(owner) is Owner and owner._core is self._core and not owner._closed:
            return owner._id
        owners = self._owners
        if owners is None:
            raise WrongState("not started")
        id = owners.id_of(owner)
        assert id is not None
        return id

    # ---- owners ----

    def owner(self, lease: float | None = None) -> Owner:
        """A new owner. With a lease (seconds) it closes by itself unless touched in time."""
        return Owner(self, self._open(), lease)

    # ---- changing ----

    def track(self, owner: Any, topic: Any, key: Any, meta: Any = None) -> str:
        """Makes a presence of `owner`; returns its ref."""
        core = self._core or self._open()
        if type(owner) is Owner and owner._core is core and not owner._closed:
            id = owner._id
        else:
            id = self._owner_id(owner)
        ref = core.change_plain(id, (topic, key, meta), False)
        return ref or core.track(id, topic_bytes(topic), key_bytes(key), meta_bytes(meta))

    def track_many(self, owner: Any, items: Iterable[tuple[Any, ...]]) -> list[str]:
        """Tracks (topic, key, meta) items, all or none; an error has the `index` of the item it is about."""
        core = self._open()
        if isinstance(items, (list, tuple)):
            refs = core.track_many_plain(self._owner_id(owner), list(items))
            if refs is not None:
                return refs
        encoded: list[tuple[bytes, bytes, bytes]] = []
        for index, item in enumerate(items):
            try:
                topic, key, meta = _item(item)
                encoded.append((topic_bytes(topic), key_bytes(key), meta_bytes(meta)))
            except PresenceError as error:
                error.index = index
                raise
        return core.track_many(self._owner_id(owner), encoded)

    def update(self, owner: Any, topic: Any, key: Any, meta: MetaOrFunction, *, if_ref: str | None = None) -> str:
        """Changes the meta of a presence of `owner`; returns its ref.

        `meta` may be a function from the present meta to the next; it may be called again when somebody else was
        faster. With `if_ref` the change is made only while that is the ref, else it is StaleRef.
        """
        core = self._core or self._open()
        if if_ref is None and type(meta) is dict and type(owner) is Owner and owner._core is core and not owner._closed:
            ref = core.change_plain(owner._id, (topic, key, meta), True)
            if ref:
                return ref
        topic, key = topic_bytes(topic), key_bytes(key)
        if callable(meta):
            return self._update_with(core, owner, topic, key, meta, if_ref)
        if meta is None:
            raise InvalidMeta("update needs a meta; {} is the empty one")
        return core.update(self._known_owner(owner), topic, key, meta_bytes(meta), _ref_bytes(if_ref))

    def _update_with(self, core: Core, owner: Any, topic: bytes, key: bytes, change: Any, if_ref: str | None) -> str:
        id = self._known_owner(owner)
        _ref_bytes(if_ref)
        while True:
            rows = json.loads(core.entry_rows(topic, key).text)
            row = next((row for row in rows if row[10] == id), None)
            if row is None:
                self._not_tracked(core, id, topic, key)
                continue
            if if_ref is not None and row[4] != if_ref:
                raise StaleRef()
            meta = change(row[2] or {})
            if meta is None:
                raise InvalidMeta("the function given to update returned None instead of a dict")
            if hasattr(meta, "__await__"):
                getattr(meta, "close", lambda: None)()
                raise InvalidMeta("the function given to update must not be asynchronous")
            try:
                return core.update(id, topic, key, meta_bytes(meta), row[4].encode())
            except StaleRef:
                if if_ref is not None:
                    raise

    def _not_tracked(self, core: Core, id: int, topic: bytes, key: bytes) -> None:
        """Lets the core say why; returns only when it was tracked again meanwhile."""
        try:
            core.update(id, topic, key, b"{}", b"-")
        except StaleRef:
            pass

    def _known_owner(self, owner: Any) -> int:
        if type(owner) is Owner and owner._core is self._core and not owner._closed:
            return owner._id
        if self._owners is None:
            raise WrongState("not started")
        id = self._owners.id_of(owner, make=False)
        if id is None:
            self._open().check_open()  # a tracker that is over says so first
            raise NotTracked()
        return id

    def untrack(self, owner: Any, topic: Any = None, key: Any = None) -> int:
        """Removes one presence of `owner`, or all of them when topic and key are left out; returns how many."""
        core = self._open()
        if self._owners is None:
            raise WrongState("not started")
        if (topic is None) != (key is None):
            raise InvalidArgument("untrack takes an owner, or an owner, a topic and a key")
        where = None if topic is None else (topic_bytes(topic), key_bytes(key))
        id = self._owners.id_of(owner, make=False)
        if id is None:
            core.check_open()
            return 0
        return core.untrack_owner(id) if where is None else core.untrack(id, *where)

    def track_as(self, topic: Any, key: Any, meta: Any = None) -> Tracked:
        """A presence with an owner of its own, for the time of a `with` or `async with`."""
        return Tracked(self, topic, key, meta)

    # ---- reading ----

    def count(self, topic: Any, *, metas: bool = False) -> int:
        """How many keys, or metas, a topic has."""
        return self._open().count(topic_bytes(topic), metas)

    def entries(self, topic: Any) -> list[Entry]:
        """The presences of a topic as they are held, without fetch."""
        rows = json.loads(self._open().entry_rows(topic_bytes(topic)).text)
        return [entry_from_row(topic_text(topic), row) for row in rows]

    def add_seed(self, addresses: str | Iterable[str]) -> None:
        """Dials these from now on, as those of the option join: host:port, names and ranges too. One that is there stays."""
        self._open().seed_add(self._seeds(addresses))

    def remove_seed(self, addresses: str | Iterable[str]) -> int:
        """Dials these no longer; links that exist stay. How many of them were seeds."""
        return self._open().seed_remove(self._seeds(addresses))

    @staticmethod
    def _seeds(addresses: str | Iterable[str]) -> str:
        return option_text("join", addresses if isinstance(addresses, str) else list(addresses))

    def topics(self) -> list[str]:
        """The topics that have a presence."""
        return self._open().topics()

    def members(self, *, all: bool = False) -> list[Member]:
        """The members known, oneself first; observers only with `all`."""
        members = [member_from_row(row) for row in self._open().member_rows()]
        return [member for member in members if all or member.is_self or not member.observer]

    def stats(self) -> Stats:
        """Counters since start."""
        stats = self._open().stats()
        if self._dispatcher is not None and "resyncs" in stats:
            stats["resyncs"] += self._dispatcher.resyncs
        return stats

    @property
    def address(self) -> str:
        """host:port others reach this member at; "" when it only dials."""
        return self._open().address()

    @property
    def is_synced(self) -> bool:
        """Whether synced() would return now; False before start and after the end."""
        if self._core is None:
            return False
        try:
            return self._core.wait_synced(0) is not None
        except ForkedError:
            raise
        except PresenceError:
            return False


def _item(item: Any) -> tuple[Any, Any, Any]:
    if isinstance(item, (str, bytes)) or not isinstance(item, Iterable):
        raise InvalidArgument(f"an item is (topic, key, meta), not {item!r}")
    parts = tuple(item)
    if not 2 <= len(parts) <= 3:
        raise InvalidArgument(f"an item is (topic, key, meta), not {item!r}")
    return parts[0], parts[1], parts[2] if len(parts) == 3 else None


def _ref_bytes(ref: Any) -> bytes:
    if ref is None:
        return b""
    if not isinstance(ref, str) or not ref:
        raise InvalidArgument(f"if_ref must be a ref, not {ref!r}")
    try:
        return ref.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"if_ref is not valid Unicode text: {error}") from None
