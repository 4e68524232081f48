"""Owners: whatever presences belong to, and how its end is noticed.

`Owner` is the mechanism. A task or future gets a done callback; any other object that can be weakly referenced gets a
weak reference whose callback only appends to the queue of the core and wakes its loop. Objects are told apart by
identity: a look-up checks that the weak reference still leads to the very object, as an id may be used again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import types
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ._errors import ForkedError, InvalidArgument, InvalidOwner, OwnerClosed, PresenceError, TrackerClosed
from ._native import Core, error_of
from ._single import Single

if TYPE_CHECKING:
    from ._calls import Calls

logger = logging.getLogger("libpresence")

MetaOrFunction = Any  # a dict, None, or a function from the present meta to the next
_GONE = (OwnerClosed.code, InvalidOwner.code, TrackerClosed.code)


class Owner(Single):
    """Made by `owner()`. Closing it, or leaving its `with`, makes all its presences leave in one diff per topic."""

    __slots__ = ("_calls", "_core", "_id", "_closed", "__weakref__")

    def __init__(self, calls: Calls, core: Core, lease: float | None = None) -> None:
        self._id = 0
        self._closed = False
        self._calls = calls
        self._core = core
        self._id = core.owner_open(None if lease is None else _lease_ms(lease))

    def track(self, topic: Any, key: Any, meta: Any = None) -> str:
        return self._calls.track(self, topic, key, meta)

    def update(self, topic: Any, key: Any, meta: MetaOrFunction, *, if_ref: str | None = None) -> str:
        return self._calls.update(self, topic, key, meta, if_ref=if_ref)

    def untrack(self, topic: Any = None, key: Any = None) -> int:
        return self._calls.untrack(self, topic, key)

    def touch(self) -> None:
        """Starts the lease anew."""
        if self._closed:
            raise OwnerClosed()
        self._core.owner_touch(self._id)

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Closing again does nothing."""
        self._core.check_fork()
        if not self._closed:
            self._closed = True
            _close(self._core, self._id)

    def __enter__(self) -> Owner:
        return self

    def __exit__(self, *_error: object) -> None:
        if not self._core.forked:
            self.close()

    async def __aenter__(self) -> Owner:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)

    def __del__(self) -> None:
        if self._id and not self._closed:
            self._core.leave_later("owner", None, self._id)

    def __repr__(self) -> str:
        return f"<Owner {self._id:#x}{' closed' if self._closed else ''}>"


class Tracked(Single):
    """One presence with an owner of its own: made by `track_as`, tracked when entered, gone when left."""

    def __init__(self, calls: Calls, topic: Any, key: Any, meta: Any) -> None:
        self._calls = calls
        self._arguments = (topic, key, meta)
        self._owner: Owner | None = None
        self._ref: str | None = None

    @property
    def ref(self) -> str:
        """The ref of the version this side set last."""
        if self._ref is None:
            raise InvalidArgument("track_as: use it as a context manager")
        return self._ref

    @property
    def owner(self) -> Owner:
        if self._owner is None:
            raise InvalidArgument("track_as: use it as a context manager")
        return self._owner

    def update(self, meta: MetaOrFunction, *, if_ref: str | None = None) -> str:
        topic, key, _ = self._arguments
        self._ref = self.owner.update(topic, key, meta, if_ref=if_ref)
        return self._ref

    def __enter__(self) -> Tracked:
        owner = self._calls.owner()
        try:
            self._ref = owner.track(*self._arguments)
        except BaseException:
            owner.close()
            raise
        self._owner = owner
        return self

    def __exit__(self, *error: object) -> None:
        self.owner.__exit__(*error)

    async def __aenter__(self) -> Tracked:
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)


def _lease_ms(lease: float) -> int:
    if isinstance(lease, bool) or not isinstance(lease, (int, float)) or not 0.001 <= lease <= 86_400:
        raise InvalidArgument(f"lease must be 0.001 to 86400 seconds, not {lease!r}")
    return int(lease * 1000)


def _close(core: Core, owner: int) -> bool:
    """Whether it was open."""
    code = core.owner_close(owner)
    if code and code not in _GONE and not _stopped(core):
        raise error_of(code)
    return code == 0


def _stopped(core: Core) -> bool:
    """A tracker that yielded its name answers everything with why it stopped; its owners have left with it."""
    try:
        core.check_open()
    except ForkedError:
        return False
    except PresenceError:
        return True
    return False


class _Registered(NamedTuple):
    reference: weakref.ref[Any]
    owner: int
    is_done: Callable[[], bool] | None


class Owners:
    """Which owner of the core stands for which object."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.RLock()  # a finalizer may call while it is held; look-ups need none
        self._registered: dict[int, _Registered] = {}
        self._told = False

    def __len__(self) -> int:
        return len(self._registered)

    def id_of(self, owner: Any, *, make: bool = True) -> int | None:
        """The core's owner for an object; None if there is none yet and none is to be made."""
        if isinstance(owner, Owner):
            if owner._core is not self._core:
                raise InvalidOwner("the owner belongs to another tracker")
            if owner._closed:
                raise OwnerClosed()
            return owner._id
        known = self._registered.get(id(owner))
        if known is not None and known.reference() is owner:
            if known.is_done is not None and known.is_done():
                raise OwnerClosed(f"the {type(owner).__name__} is done")
            return known.owner
        if make:
            return self._register(owner)
        self._check(owner)
        return None

    def _check(self, owner: Any) -> None:
        if type(owner).__name__ == Owner.__name__ and type(owner).__module__ == Owner.__module__:
            raise InvalidOwner("the owner belongs to another copy of this package")
        if isinstance(owner, types.MethodType):
            raise InvalidOwner("a bound method cannot own presences, it is made anew each time: use its object")
        try:
            weakref.ref(owner)
        except TypeError:
            raise InvalidOwner(
                f"{type(owner).__name__} cannot own presences: use owner(), a task or future, "
                "or an object that can be weakly referenced"
            ) from None
        if _is_future(owner) and owner.done():
            raise OwnerClosed(f"the {type(owner).__name__} is done")

    def _register(self, owner: Any) -> int:
        self._check(owner)
        self._core.check_fork()
        core, key, opened = self._core, id(owner), self._core.owner_open()

        def collected(_reference: Any, leave: Callable[..., None] = core.leave_later) -> None:
            leave("owner", key, opened)

        is_done = _done_of(weakref.ref(owner)) if _is_future(owner) else None
        registered = _Registered(weakref.ref(owner, collected), opened, is_done)
        with self._lock:
            known = self._registered.get(key)
            if known is None or known.reference() is not owner:
                self._registered[key], known = registered, None
        if known is not None:  # another thread, or a finalizer in the lines above, was first
            core.owner_close(opened)
            return known.owner
        if is_done is not None:
            self._leave_when_done(owner, key, opened)
        return opened

    def _leave_when_done(self, future: Any, key: int, owner: int) -> None:
        reference = weakref.ref(self)

        def done(_future: Any) -> None:
            owners = reference()
            if owners is not None and not owners._core.forked:
                owners.leave(key, owner)

        if isinstance(future, concurrent.futures.Future):
            future.add_done_callback(done)
            return
        loop = future.get_loop()
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is loop:
            future.add_done_callback(done)
            return
        try:
            loop.call_soon_threadsafe(future.add_done_callback, done)
        except RuntimeError:  # its loop is closed: it never ends, but it may be collected
            pass

    def leave(self, key: int | None, owner: int) -> None:
        """The object is done or gone."""
        if key is not None:
            known = self._registered.get(key)
            if known is not None and known.owner == owner:
                self._registered.pop(key, None)
        was_open = _close(self._core, owner)
        if key is None and was_open and not self._told:
            self._told = True
            logger.warning("an owner() was dropped without close(): what it tracked has left; said once")


def _is_future(owner: Any) -> bool:
    return asyncio.isfuture(owner) or isinstance(owner, concurrent.futures.Future)


def _done_of(reference: weakref.ref[Any]) -> Callable[[], bool]:
    def is_done() -> bool:
        future = reference()
        return future is None or bool(future.done())

    return is_done
