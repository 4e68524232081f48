"""The events one subscriber waits for: a state, then diffs, and when it was too slow one fresh state instead.

The loop that drains pushes, the subscriber polls, perhaps on another thread. A diff that a state taken here already
contains is recognised by its number and left out; while a fresh state is due nothing is kept.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ._bound import Bound
from ._errors import PresenceError
from ._native import Snapshot
from ._types import Event


class StateDue(NamedTuple):
    """The next event is a state, to be made from this."""

    snapshot: Snapshot
    resync: bool


class Ended(Exception):
    """No more events; `error` says why if it was not stop or close."""

    def __init__(self, error: PresenceError | None) -> None:
        super().__init__()
        self.error = error


class Feed:
    def __init__(self, topic: str, bound: Bound) -> None:
        self.topic = topic
        self.take_snapshot: Callable[[], Snapshot] = _not_open
        self.on_resync: Callable[[], None] = _nothing
        self.notify: Callable[[], None] = _nothing
        self._bound = bound
        self._lock = threading.RLock()  # a finalizer may call while it is held
        self._events: deque[Event] = deque()
        self._floor = 0
        self._state_due = True  # nothing can be pushed usefully before the first state
        self._first = True
        self._kept: Snapshot | None = None  # a state that is due and was taken already
        self._ended: Ended | None = None

    # ---- by the loop ----

    def push(self, event: Event) -> None:
        with self._lock:
            if self._ended or self._state_due or event.seq <= self._floor:
                return
            self._events.append(event)
            if not self._bound.add(event.size):
                self._drop()
        self.notify()

    def resync(self) -> None:
        """Diffs were lost before they came here."""
        with self._lock:
            self._drop()
        self.notify()

    def _drop(self) -> None:
        if not self._state_due:
            self._state_due = True
            self.on_resync()
        self._keep(lambda event: False)
        self._kept = None

    def end(self, error: PresenceError | None = None) -> None:
        with self._lock:
            self._ended = self._ended or Ended(error)
        self.notify()

    # ---- by the subscriber ----

    def begin(self) -> None:
        """Takes the first state now; what comes later is a diff."""
        self._kept = self._fresh()

    def poll(self) -> Event | StateDue | None:
        """The next event, a state that has to be made, or None: wait for notify."""
        with self._lock:
            if self._kept is not None:
                return StateDue(self._kept, not self._first)
            state_due = self._state_due
            if not state_due and self._events:
                event = self._events.popleft()
                self._bound.take(event.size)
                return event
            if self._ended:
                raise self._ended
        if not state_due:
            return None
        self._kept = snapshot = self._fresh()
        return StateDue(snapshot, not self._first)

    def state_given(self, due: StateDue) -> None:
        """Until this is called the same state is due again, so a subscriber that was cancelled loses nothing."""
        with self._lock:
            self._first = False
            if self._kept is due.snapshot:
                self._kept = None

    def _fresh(self) -> Snapshot:
        with self._lock:
            self._state_due = False  # from here on diffs are kept; those the snapshot has are taken out below
            self._floor = 0
        try:
            snapshot = self.take_snapshot()
        except BaseException:
            with self._lock:
                self._state_due = True
            raise
        with self._lock:
            self._floor = snapshot.seq
            self._keep(lambda event: event.seq > snapshot.seq)
        return snapshot

    def _keep(self, wanted: Callable[[Event], bool]) -> None:
        events, self._events = self._events, deque()
        for event in events:
            if wanted(event):
                self._events.append(event)
            else:
                self._bound.take(event.size)


def _not_open() -> Snapshot:
    raise RuntimeError("the feed is not open")


def _nothing() -> None:
    pass
