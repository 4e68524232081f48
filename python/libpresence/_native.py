"""The C library as Python objects: one Core per open tracker, errors raised, texts decoded.

Native threads only write to the eventfd of the bridge; finalizers only append to `left` and write to it too. What is
to be done about either is done by the loop that reads it. The memory of a tracker is freed when the last reference
to it is gone, so no call can run into a freed one; stopping is a call of its own.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import struct
import threading
import time
import weakref
from collections import deque
from typing import Any, NamedTuple

from ._errors import (
    BY_CODE,
    ForkedError,
    InternalError,
    LimitExceeded,
    OutOfMemory,
    PresenceError,
    PresenceTimeout,
    TrackerClosed,
)
from ._ffi import ffi, lib
from ._options import Options, config_error
from ._types import Stats
from ._values import plain

logger = logging.getLogger("libpresence")

QUOTAS = ("member_entries", "topic_entries", "key_metas")
EVENT_DIFF, EVENT_RESYNC, EVENT_MEMBER, EVENT_SYNCED, EVENT_ERROR, EVENT_STOPPED = range(1, 7)
EXIT_TIMEOUT_MS = 1000
_LOG_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG}
_HEAD = struct.Struct("=iiQQQQ")
_REF = ffi.typeof("char[32]")
REF_SIZE = 22
REF_STEP = 32  # from one to the next where there are many
_SIZE = ffi.typeof("size_t *")
_TEXT = ffi.typeof("glue_text *")
_new = ffi.new
_string = ffi.string
_change_plain = lib.glue_change_plain


_exiting = threading.Event()


def error_of(code: int) -> PresenceError:
    if code == TrackerClosed.code and _exiting.is_set() and threading.current_thread().daemon:
        time.sleep(EXIT_TIMEOUT_MS / 1000)  # it is about to be ended with the interpreter, which is no error of its own
    kind = BY_CODE.get(code)
    return kind() if kind else InternalError(f"unknown error {code}")


class Snapshot(NamedTuple):
    text: bytes
    seq: int
    entries: int


class RawEvent(NamedTuple):
    kind: int
    error: int
    seq: int
    topic: str
    text: bytes
    rows: bytes


class Core:
    """One open tracker."""

    __slots__ = (
        "pointer",
        "bridge",
        "left",
        "forked",
        "options",
        "stopped",
        "end_text",
        "_log_buffer",
        "_refs",
        "__weakref__",
    )

    def __init__(self, options: Options) -> None:
        self.bridge = ffi.NULL
        self.options = options
        self.forked = False
        self.left: deque[tuple[Any, ...]] = deque()  # what finalizers ask for
        self.stopped = False
        self.end_text: str | None = None  # what calls say when it is over
        self.pointer = ffi.NULL
        self._log_buffer = _new("char[512]")
        self._refs: list[Any] = []  # rooms for a ref that no call uses now; making one takes as long as a look-up
        self.bridge = lib.glue_bridge_new()
        if not self.bridge:
            raise OutOfMemory("no memory or no file descriptor left")
        try:
            self.pointer = self._open()
        except BaseException:
            self._free()
            raise
        _open_cores.add(self)

    # The defaults are kept because module globals are gone when the interpreter ends.
    def _free(
        self, null: Any = ffi.NULL, close: Any = lib.presence_tracker_close, free: Any = lib.glue_bridge_free
    ) -> None:
        """When a cycle is collected, finalizers run in any order, and some still call: an owner that closes, a
        coroutine that leaves an `async with`. They find NULL, which every function of the library takes for an error.
        """
        pointer, bridge = self.pointer, self.bridge
        self.pointer = self.bridge = null
        if not self.forked:  # a child leaves the parent's alone
            close(pointer)
            free(bridge)  # after the tracker's threads have ended

    __del__ = _free

    def _open(self) -> Any:
        config = self.options.config()
        self._check(lib.glue_config_log(config, self.bridge))
        out = _new("presence_tracker **")
        network = self.options.network
        code = network.start(config, out) if network else lib.presence_tracker_open(config, out)
        if code:
            raise config_error(config, code)
        return out[0]

    # ---- life ----

    def stop(self, timeout_ms: int) -> None:
        self._check(lib.presence_tracker_stop(self.pointer, timeout_ms))
        self.stopped = True

    def check_fork(self) -> None:
        if self.forked:
            raise ForkedError()

    def check_open(self) -> None:
        """Raises what calls to a tracker that is over raise."""
        self.wait_synced(0)

    def set_wake(self) -> None:
        self._check(lib.glue_set_wake(self.pointer, self.bridge))

    def remove_wake(self) -> None:
        """Once this has returned no native thread wakes anybody; whether the tracker is over does not matter."""
        lib.glue_set_wake(self.pointer, ffi.NULL)

    def fd(self) -> int:
        return int(lib.glue_bridge_fd(self.bridge))

    def wake(self) -> None:
        lib.glue_bridge_wake(self.bridge)

    def clear_wake(self) -> None:
        lib.glue_bridge_clear(self.bridge)

    def leave_later(self, *item: Any) -> None:
        """For finalizers: at any point, on any thread."""
        if not self.forked:
            self.left.append(item)
            lib.glue_bridge_wake(self.bridge)

    def write_log(self) -> None:
        while True:
            level = lib.glue_bridge_log_line(self.bridge, self._log_buffer, 512)
            if not level:
                return
            if _exiting.is_set():  # members of one process that leave one after the other are no news
                continue
            line = _string(self._log_buffer).decode("utf-8", "replace")
            logger.log(_LOG_LEVELS.get(level, logging.INFO), "%s", line)

    def address(self) -> str:
        buffer = _new("char[300]")
        self._check(lib.presence_tracker_address(self.pointer, buffer, 300))
        return str(_string(buffer).decode())

    def wait_synced(self, timeout_ms: int) -> str | None:
        """ "synced", "alone", or None when the time is over."""
        code = lib.presence_wait_synced(self.pointer, timeout_ms)
        if code == PresenceTimeout.code:
            return None
        if code < 0:
            raise self._error(code)
        return "alone" if code == 1 else "synced"

    def synced_in_virtual_time(self, timeout: float | None) -> str:
        """As `synced` of the trackers on a virtual network, where waiting is what moves time."""
        result = self.wait_synced(-1 if timeout is None else int(timeout * 1000))
        if result is None:
            raise PresenceTimeout(f"not synced within {timeout or 600:g} s of virtual time")
        return result

    # ---- seeds ----

    def seed_add(self, addresses: str) -> None:
        self._check(lib.presence_seed_add(self.pointer, addresses.encode()))

    def seed_remove(self, addresses: str) -> int:
        removed = _new("size_t *")
        self._check(lib.presence_seed_remove(self.pointer, addresses.encode(), removed))
        return int(removed[0])

    # ---- owners ----

    def owner_open(self, lease_ms: int | None = None) -> int:
        out = _new("presence_owner *")
        if lease_ms is None:
            self._check(lib.presence_owner_open(self.pointer, out))
        else:
            self._check(lib.presence_owner_open_lease(self.pointer, lease_ms, out))
        return int(out[0])

    def owner_touch(self, owner: int) -> None:
        self._check(lib.presence_owner_touch(self.pointer, owner))

    def owner_close(self, owner: int) -> int:
        """The code: closing what is closed already is no error to most callers."""
        return int(lib.presence_owner_close(self.pointer, owner))

    # ---- changing ----

    def _ref_room(self) -> Any:
        """Memory for a ref and its 22 characters as a buffer; two threads never get the same."""
        try:
            return self._refs.pop()
        except IndexError:
            room = _new(_REF)
            return room, ffi.buffer(room, REF_SIZE)

    # The next two take items as they are, and know nothing of what is wrong with them: `plain` says when there is no
    # such way, None that the call with encoded parts has to say it.

    def change_plain(self, owner: int, item: tuple[Any, Any, Any], update: bool) -> str | None:
        """The quick way of `track` and `update`. None: refused, or not of a usual kind."""
        text = plain(item)
        if text is None:
            return None
        try:
            room, buffer = self._refs.pop()
        except IndexError:
            room, buffer = self._ref_room()
        if _change_plain(self.pointer, owner, text, len(text), update, room):
            return None
        ref = str(buffer, "ascii")
        self._refs.append((room, buffer))
        return ref

    def track_many_plain(self, owner: int, items: list[Any]) -> list[str] | None:
        """The quick way of `track_many`. None: refused, or not of a usual kind."""
        text = plain(items)
        if text is None:
            return None
        refs = _new("char[]", REF_STEP * max(1, len(items)))
        if lib.glue_track_many_plain(self.pointer, owner, text, len(text), len(items), refs):
            return None
        return _refs_of(refs, len(items))

    def track(self, owner: int, topic: bytes, key: bytes, meta: bytes) -> str:
        room, text = self._ref_room()
        code = lib.glue_track(self.pointer, owner, topic, len(topic), key, len(key), meta, len(meta), room)
        if code:
            raise self._refused(code, topic, key, meta, owner, [(topic, key, meta)])
        ref: str = text[:].decode()
        self._refs.append((room, text))
        return ref

    def update(self, owner: int, topic: bytes, key: bytes, meta: bytes, expected: bytes = b"") -> str:
        room, text = self._ref_room()
        code = lib.glue_update(
            self.pointer, owner, topic, len(topic), key, len(key), expected, len(expected), meta, len(meta), room
        )
        if code:
            raise self._refused(code, topic, key, meta)
        ref: str = text[:].decode()
        self._refs.append((room, text))
        return ref

    def track_many(self, owner: int, items: list[tuple[bytes, bytes, bytes]]) -> list[str]:
        parts = [part for item in items for part in item]
        sizes = _new("size_t[]", [len(part) for part in parts])
        refs = _new("char[]", REF_STEP * max(1, len(items)))
        failed = _new(_SIZE)
        code = lib.glue_track_many(self.pointer, owner, b"".join(parts), sizes, len(items), refs, failed)
        if code:
            index = int(failed[0])
            error = self._refused(code, *items[index], owner, items) if index < len(items) else self._error(code)
            error.index = index if index < len(items) else None
            raise error
        return _refs_of(refs, len(items))

    def untrack(self, owner: int, topic: bytes, key: bytes) -> int:
        removed = _new(_SIZE)
        self._check(lib.glue_untrack(self.pointer, owner, topic, len(topic), key, len(key), removed))
        return int(removed[0])

    def untrack_owner(self, owner: int) -> int:
        removed = _new(_SIZE)
        self._check(lib.presence_untrack_owner(self.pointer, owner, removed))
        return int(removed[0])

    # ---- reading ----

    def count(self, topic: bytes, metas: bool) -> int:
        out = _new(_SIZE)
        keys, all_metas = (ffi.NULL, out) if metas else (out, ffi.NULL)
        self._check(lib.glue_count(self.pointer, topic, len(topic), keys, all_metas))
        return int(out[0])

    def state(self, topic: bytes) -> Snapshot:
        out = _new(_TEXT)
        return self._take(lib.glue_list(self.pointer, topic, len(topic), out), out)

    def entry_rows(self, topic: bytes, key: bytes | None = None) -> Snapshot:
        out = _new(_TEXT)
        wanted = ffi.NULL if key is None else key
        return self._take(lib.glue_entries(self.pointer, topic, len(topic), wanted, len(key or b""), out), out)

    def topics(self) -> list[str]:
        out = _new(_TEXT)
        topics: list[str] = json.loads(self._take(lib.glue_topics(self.pointer, out), out).text)
        return topics

    def member_rows(self) -> list[Any]:
        out = _new(_TEXT)
        rows: list[Any] = json.loads(self._take(lib.glue_members(self.pointer, out), out).text)
        return rows

    def stats(self) -> Stats:
        out = _new("presence_statistics *")
        out.size = ffi.sizeof("presence_statistics")
        self._check(lib.presence_stats(self.pointer, out))
        names = [name for name, _ in ffi.typeof("presence_statistics").fields if name != "size"]
        return Stats((name, int(getattr(out, name))) for name in names)

    # ---- events ----

    def subscribe(self, topic: bytes) -> None:
        self._check(lib.glue_subscribe(self.pointer, topic, len(topic)))

    def subscribe_all(self) -> None:
        self._check(lib.presence_subscribe_all(self.pointer))

    def unsubscribe(self, topic: bytes) -> None:
        self._check(lib.glue_unsubscribe(self.pointer, topic, len(topic)))

    def drain(self, most: int) -> tuple[list[RawEvent], int]:
        """The next events, and the code: what could be read is given also when it is an error."""
        out = _new(_TEXT)
        code = lib.glue_drain(self.pointer, most, out)
        data = bytes(ffi.buffer(out.data, out.size)) if out.size else b""
        count = int(out.count)
        lib.glue_text_free(out)
        events, position = [], 0
        for _ in range(count):
            kind, error, seq, topic_size, text_size, rows_size = _HEAD.unpack_from(data, position)
            topic_end = position + _HEAD.size + topic_size
            text_end = topic_end + text_size
            topic = data[position + _HEAD.size : topic_end].decode()
            position = text_end + rows_size
            events.append(RawEvent(kind, error, seq, topic, data[topic_end:text_end], data[text_end:position]))
        return events, int(code)

    # ---- errors ----

    def _error(self, code: int) -> PresenceError:
        return TrackerClosed(self.end_text) if code == TrackerClosed.code and self.end_text else error_of(code)

    def _check(self, code: int) -> None:
        if code:
            raise self._error(code)

    def _take(self, code: int, out: Any) -> Snapshot:
        if code:
            raise self._error(code)
        snapshot = Snapshot(bytes(ffi.buffer(out.data, out.size)), int(out.seq), int(out.count))
        lib.glue_text_free(out)
        return snapshot

    def _refused(
        self,
        code: int,
        topic: bytes,
        key: bytes,
        meta: bytes,
        owner: int = 0,
        items: list[tuple[bytes, bytes, bytes]] | None = None,
    ) -> PresenceError:
        if code != LimitExceeded.code:
            return self._error(code)
        for option, value in (("topic_bytes", topic), ("key_bytes", key), ("meta_bytes", meta)):
            limit = self.options.number(option)
            if len(value) > limit:
                return LimitExceeded(f"{len(value)} bytes are over {option} = {limit}", option=option)
        quota = self._quota(owner, items) if items else ""
        if not quota:
            return self._error(code)
        return LimitExceeded(f"over {quota} = {self.options.number(quota)}", option=quota)

    def _quota(self, owner: int, items: list[tuple[bytes, bytes, bytes]]) -> str:
        """The option that allows no more of such items; "" when none does any more, or a limit of the protocol."""
        array, kept, option = _new("presence_item[]", len(items)), [], _new("const char **")
        for index, item in enumerate(items):
            for name, part in zip(("topic", "key", "meta"), item, strict=True):
                data = ffi.from_buffer("char[]", part)
                kept.append(data)
                text = getattr(array[index], name)
                text.data, text.size = data, len(part)
        code = lib.presence_track_check(self.pointer, owner, array, len(items), ffi.NULL, option)
        named = str(_string(option[0]).decode()) if code == LimitExceeded.code else ""
        return named if named in QUOTAS else ""


def _refs_of(room: Any, count: int) -> list[str]:
    text = str(ffi.buffer(room, REF_STEP * count), "ascii") if count else ""
    return [text[at : at + REF_SIZE] for at in range(0, REF_STEP * count, REF_STEP)]


_open_cores: weakref.WeakSet[Core] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Tells the other members at exit. Threads that still drain get their STOPPED event; nothing is freed."""
    for core in list(_open_cores):
        if not core.forked and not core.stopped:
            _exiting.set()
            lib.glue_set_wake(core.pointer, ffi.NULL)
            lib.presence_tracker_stop(core.pointer, EXIT_TIMEOUT_MS)
            core.stopped = True


def _mark_forked() -> None:
    for core in list(_open_cores):
        core.forked = True


os.register_at_fork(after_in_child=_mark_forked)


def open_cores() -> list[Core]:
    """Those that run in this process."""
    return [core for core in list(_open_cores) if not core.forked and not core.stopped]


def read_metrics(cores: list[Core]) -> str:
    if not cores:
        return ""
    snapshot, text = _new("presence_snapshot **"), _new("presence_str *")
    code = lib.presence_metrics([core.pointer for core in cores], len(cores), snapshot, text)
    if code:
        raise error_of(code)
    written = bytes(ffi.buffer(text.data, text.size)).decode()
    lib.presence_snapshot_free(snapshot[0])
    return written


def version() -> str:
    return str(_string(lib.presence_version()).decode())


def self_contained() -> tuple[bool, str]:
    """Whether libuv and nanopb of this module are its own, and whose they are otherwise."""
    other = _new("char[4096]")
    return bool(lib.glue_self_contained(other, 4096)), str(_string(other).decode())
