"""What `subscribe` returns: an asynchronous iterator for Presence, a plain one for Tracker."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._errors import PresenceTimeout, TrackerClosed
from ._feed import Ended, Feed, StateDue
from ._single import Single
from ._types import Event

if TYPE_CHECKING:
    from ._dispatch import Dispatcher


class _Base(Single):
    """Opening and closing. A subscription that is only dropped is closed by the loop that drains."""

    def __init__(self, dispatcher: Dispatcher, topic: str) -> None:
        self._feed: Feed | None = None
        self._dispatcher = dispatcher
        self._topic = topic
        self._closed = False

    @property
    def topic(self) -> str:
        return self._topic

    def _open(self, notify: Callable[[], None]) -> None:
        if self._feed is None:
            feed = self._dispatcher.new_feed(self._topic)
            feed.notify = notify
            self._dispatcher.add_feed(feed)
            self._feed = feed

    def close(self) -> None:
        """Ends the iteration; closing again does nothing."""
        if self._feed is not None and not self._closed:
            self._closed = True
            self._dispatcher.remove_feed(self._feed)

    def __del__(self) -> None:
        if self._feed is not None and not self._closed:
            self._dispatcher.core.leave_later("feed", self._feed)

    def _poll(self, feed: Feed) -> Event | StateDue | None:
        """As Feed.poll, the end as an exception that leaves the iteration."""
        try:
            return feed.poll()
        except Ended as ended:
            if ended.error is not None:
                raise ended.error from None
            raise
        except TrackerClosed:
            raise Ended(None) from None


class Subscription(_Base):
    """`async with presence.subscribe(topic) as events: async for event in events: ...`"""

    def __init__(self, dispatcher: Dispatcher, topic: str, check: Callable[[], None]) -> None:
        super().__init__(dispatcher, topic)
        self._check = check
        self._ready = asyncio.Event()

    async def __aenter__(self) -> Subscription:
        self._check()
        self._open(self._ready.set)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.close()

    async def aclose(self) -> None:
        self.close()

    def __aiter__(self) -> Subscription:
        self._check()
        self._open(self._ready.set)
        return self

    async def __anext__(self) -> Event:
        self._check()
        self._open(self._ready.set)
        feed = self._feed
        assert feed is not None
        while True:
            self._ready.clear()
            try:
                step = self._poll(feed)
            except Ended:
                raise StopAsyncIteration from None
            if isinstance(step, Event):
                return step
            if step is None:
                await self._ready.wait()
            else:
                try:
                    event = await self._dispatcher.state(self._topic, step)
                except TrackerClosed:
                    raise StopAsyncIteration from None
                feed.state_given(step)
                return event


class SyncSubscription(_Base):
    """`for event in tracker.subscribe(topic, timeout=None): ...`; PresenceTimeout when nothing came in time."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        topic: str,
        timeout: float | None,
        make_state: Callable[[str, StateDue], Event],
    ) -> None:
        super().__init__(dispatcher, topic)
        self._timeout = timeout
        self._make_state = make_state
        self._ready = threading.Event()
        self._open(self._ready.set)

    def __enter__(self) -> SyncSubscription:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __iter__(self) -> SyncSubscription:
        return self

    def __next__(self) -> Event:
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        feed = self._feed
        assert feed is not None
        while True:
            self._ready.clear()
            try:
                step = self._poll(feed)
            except Ended:
                raise StopIteration from None
            if isinstance(step, Event):
                return step
            if step is None:
                self._wait(deadline)
            else:
                try:
                    event = self._make_state(self._topic, step)
                except TrackerClosed:
                    raise StopIteration from None
                feed.state_given(step)
                return event

    def _wait(self, deadline: float | None) -> None:
        self._dispatcher.core.check_fork()
        left = None if deadline is None else deadline - time.monotonic()
        if not self._ready.wait(left if left is None else max(0.0, left)):
            raise PresenceTimeout(f"no event of {self._topic!r} within {self._timeout:g} s")


