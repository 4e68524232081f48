"""From the core's queue to the consumers, on one event loop.

Happy path: a native thread writes to the eventfd -> the loop drains a slice -> each diff waits for its topic's fetch,
in order per topic -> feeds of that topic and the callbacks get the same event.
Failures: the core dropped diffs of a topic (RESYNC), the topic's fetch is too slow (the backlog drops it), or a slice
could not be read: every consumer of the topic takes a fresh state. The tracker stops by itself (another one has its
name): STOPPED says why, feeds end with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ._backlog import Backlog
from ._bound import Bound
from ._callbacks import Callbacks
from ._errors import PresenceError, PresenceTimeout, TrackerClosed
from ._feed import Feed, StateDue
from ._fetch import CallHook, Fetcher
from ._native import (
    EVENT_DIFF,
    EVENT_MEMBER,
    EVENT_RESYNC,
    EVENT_STOPPED,
    EVENT_SYNCED,
    Core,
    RawEvent,
    error_of,
)
from ._owners import Owners
from ._types import Event, Presences, member_from_row

logger = logging.getLogger("libpresence")

SLICE = 256  # events between two turns of the loop
CALLBACK_PATIENCE = 1.0  # seconds a running callback may take at stop
EXIT_TIMEOUT = 1.0

Hook = Callable[..., Any]


class Dispatcher:
    """Everything but `add_feed`, `remove_feed` and `count_resync` runs on the loop."""

    def __init__(self, core: Core, owners: Owners, hooks: dict[str, Hook], call: CallHook) -> None:
        self.core = core
        self._owners = owners
        self._loop = asyncio.get_running_loop()
        self._lock = threading.RLock()  # guards _feeds; a finalizer may call while it is held
        self._feeds: dict[str, list[Feed]] = {}
        self._flows: dict[str, asyncio.Task[None]] = {}
        self._synced = asyncio.Event()
        self.ended = asyncio.Event()
        self._stop_task: asyncio.Task[None] | None = None
        self._resyncs = 0
        self._fetcher = self._make_fetcher(hooks, call)
        self._backlog = Backlog(self._make_bound())
        self._callbacks = Callbacks(core, hooks, call, self._fetcher, Backlog(self._make_bound()))

    def _make_fetcher(self, hooks: dict[str, Hook], call: CallHook) -> Fetcher | None:
        number = self.core.options.number
        if "fetch" not in hooks:
            return None
        return Fetcher(
            hooks["fetch"],
            call,
            batch=number("fetch_batch"),
            concurrency=number("fetch_concurrency"),
            timeout=number("fetch_timeout_ms") / 1000,
        )

    def _make_bound(self) -> Bound:
        number = self.core.options.number
        return Bound(number("queue_bytes"), number("callback_queue"), lambda: not self._synced.is_set())

    def start(self) -> None:
        self._loop.add_reader(self.core.fd(), self._woken)
        self.core.set_wake()
        if self._callbacks.wants_diffs:
            self.core.subscribe_all()
            self._callbacks.begin(self.core.topics())

    # ---- the queue of the core ----

    def _woken(self) -> None:
        if self.core.forked:
            return
        self.core.clear_wake()
        self._clean_up()
        self._drain()

    def _clean_up(self) -> None:
        """What finalizers asked for, and log lines of native threads."""
        self.core.write_log()
        while self.core.left:
            kind, *rest = self.core.left.popleft()
            try:
                if kind == "owner":
                    self._owners.leave(*rest)
                elif kind == "tracker":
                    self._dropped()
                else:
                    self.remove_feed(*rest)
            except PresenceError as error:
                logger.error("an %s that was collected could not leave", kind, exc_info=error)

    def _dropped(self) -> None:
        if self._stop_task is None:
            logger.warning("a Tracker was dropped without stop(): it leaves")
            self._stop_task = self._loop.create_task(self._stop(EXIT_TIMEOUT, False))

    def _drain(self) -> int:
        events, code = self.core.drain(SLICE)
        for event in events:
            self._take(event)
        if code == TrackerClosed.code:
            return 0
        if code:
            logger.error("events were lost, every topic is read anew: %s", error_of(code))
            self._resync_all()
        return len(events)

    def _take(self, raw: RawEvent) -> None:
        """ERROR events are log lines of the core already."""
        if raw.kind == EVENT_DIFF:
            event = Event(raw.topic, "presence_diff", raw.seq, text=raw.text, rows=raw.rows)
            self._diff(event)
        elif raw.kind == EVENT_RESYNC:
            self._resync(raw.topic)
        elif raw.kind == EVENT_MEMBER:
            self._callbacks.report(member_from_row(json.loads(raw.text)))
        elif raw.kind == EVENT_SYNCED:
            self._synced.set()
        elif raw.kind == EVENT_STOPPED:
            self._stopped(raw)

    def _diff(self, event: Event) -> None:
        if not self._wanted(event.topic):
            return
        if self._fetcher is None:
            self._deliver(event)
            return
        dropped = self._backlog.push(event)
        if dropped is not None:
            self._resync_consumers(dropped)
        if event.topic in self._backlog and event.topic not in self._flows:
            self._flows[event.topic] = self._loop.create_task(self._flow(self._fetcher, event.topic))

    async def _flow(self, fetcher: Fetcher, topic: str) -> None:
        """Fetches the diffs of one topic in order."""
        try:
            while (event := self._backlog.pop(topic)) is not None:
                if self._wanted(topic):
                    self._deliver(await fetcher.diff(event))
        finally:
            del self._flows[topic]

    def _wanted(self, topic: str) -> bool:
        return topic in self._feeds or self._callbacks.wants_diffs

    def _deliver(self, event: Event) -> None:
        for feed in self._feeds_of(event.topic):
            feed.push(event)
        if self._callbacks.wants_diffs:
            self._callbacks.push(event)

    def _resync(self, topic: str) -> None:
        self._backlog.drop(topic)
        self._resync_consumers(topic)

    def _resync_consumers(self, topic: str) -> None:
        for feed in self._feeds_of(topic):
            feed.resync()
        if self._callbacks.wants_diffs:
            self._callbacks.resync(topic)

    def _resync_all(self) -> None:
        for topic in {*self._feeds, *self._backlog.topics}:
            self._resync(topic)
        self._callbacks.resync_all()

    def _stopped(self, raw: RawEvent) -> None:
        error = error_of(raw.error) if raw.error else None
        self._synced.set()  # whoever waits asks again, and is told
        with self._lock:
            feeds = [feed for feeds in self._feeds.values() for feed in feeds]
        for feed in feeds:
            feed.end(error)

    # ---- subscribers ----

    def new_feed(self, topic: str) -> Feed:
        return Feed(topic, self._make_bound())

    def add_feed(self, feed: Feed) -> None:
        """Any thread. From here on no diff is missed; the feed leaves out what its state has."""
        encoded = feed.topic.encode()
        feed.take_snapshot = lambda: self.core.state(encoded)
        feed.on_resync = self.count_resync
        self.core.check_fork()
        with self._lock:
            self.core.subscribe(encoded)
            self._feeds[feed.topic] = [*self._feeds.get(feed.topic, ()), feed]
        try:
            feed.begin()
        except BaseException:
            self.remove_feed(feed)
            raise

    def remove_feed(self, feed: Feed) -> None:
        """Any thread."""
        if self.core.forked:
            return
        with self._lock:
            others = [other for other in self._feeds.get(feed.topic, ()) if other is not feed]
            if others:
                self._feeds[feed.topic] = others
            elif self._feeds.pop(feed.topic, None) is not None and not self._callbacks.wants_diffs:
                self._unsubscribe(feed.topic)
        feed.end()

    def _unsubscribe(self, topic: str) -> None:
        try:
            self.core.unsubscribe(topic.encode())
        except PresenceError:  # it is over, and so are its subscriptions
            pass

    def _feeds_of(self, topic: str) -> list[Feed]:
        return self._feeds.get(topic, [])  # lists are replaced, never changed

    def count_resync(self) -> None:
        self._resyncs += 1

    @property
    def resyncs(self) -> int:
        return self._resyncs + self._callbacks.resyncs

    def plain_state(self, topic: str, due: StateDue) -> Event:
        """The event of a state, without fetch. Any thread."""
        return Event(topic, "presence_state", due.snapshot.seq, text=due.snapshot.text, resync=due.resync)

    async def state(self, topic: str, due: StateDue) -> Event:
        plain = self.plain_state(topic, due)
        if self._fetcher is None or not due.snapshot.entries:
            return plain
        presences, fetched = await self._fetcher.state(topic, plain.payload)
        return plain.enriched(presences, fetched)

    # ---- reading ----

    async def list(self, topic: str) -> Presences:
        snapshot = self.core.state(topic.encode())
        if self._fetcher is None:
            presences: Presences = json.loads(snapshot.text)
            return presences
        return await self._fetcher.list(topic, snapshot.text)

    async def enrich(self, topic: str, presences: Presences) -> Presences:
        if self._fetcher is None or not presences:
            return presences
        return (await self._fetcher.state(topic, presences))[0]

    @property
    def fetches(self) -> bool:
        return self._fetcher is not None

    async def synced(self, timeout: float | None) -> str:
        if self.core.options.network:
            return self.core.synced_in_virtual_time(timeout)
        deadline = None if timeout is None else self._loop.time() + timeout
        while True:
            result = self.core.wait_synced(0)
            if result is not None:
                return result
            left = None if deadline is None else deadline - self._loop.time()
            if left is not None and left <= 0:
                raise PresenceTimeout(f"not synced within {timeout:g} s")
            try:
                await asyncio.wait_for(self._synced.wait(), left)
            except asyncio.TimeoutError:
                pass

    async def settle(self, where: str | None) -> None:
        """Until what is queued now has been fetched and told. `where`: the hook that asks is not waited for."""
        while True:
            self._clean_up()
            while self._drain() == SLICE:
                await asyncio.sleep(0)
            busy: set[asyncio.Task[None]] = set(self._flows.values()) if where != "fetch" else set()
            if where is None and self._callbacks.task is not None:
                busy.add(self._callbacks.task)
            if self._stop_task is not None:
                raise TrackerClosed()
            if not busy:
                return
            await asyncio.wait(busy)

    # ---- the end ----

    async def stop(self, timeout: float, here: bool) -> None:
        """Tells the other members within `timeout`; idempotent. `here`: a callback is calling."""
        self.core.check_fork()
        if self._stop_task is None:
            self._stop_task = self._loop.create_task(self._stop(timeout, here))
        await asyncio.shield(self._stop_task)

    async def until_loop_ends(self) -> AsyncGenerator[None, None]:
        """Stops what nobody stopped when the loop shuts its asynchronous generators down, as asyncio.run does."""
        try:
            yield
        finally:
            if self._stop_task is None and not self.core.forked:
                await self.stop(EXIT_TIMEOUT, False)

    async def _stop(self, timeout: float, here: bool) -> None:
        try:
            await run_blocking(self.core.stop, max(0, int(timeout * 1000)))
            while self._drain():
                pass
        finally:
            if self._fetcher is not None:
                self._fetcher.stop()
            for flow in list(self._flows.values()):
                flow.cancel()
            await self._callbacks.stop(min(CALLBACK_PATIENCE, timeout / 2), here)
            if self.core.pointer:  # not so when all this is being collected
                self._loop.remove_reader(self.core.fd())
                self.core.remove_wake()
                self.core.write_log()
            self._end_feeds()
            self.ended.set()

    def _end_feeds(self) -> None:
        with self._lock:
            feeds = [feed for feeds in self._feeds.values() for feed in feeds]
            self._feeds.clear()
        for feed in feeds:
            feed.end()


async def run_blocking(function: Callable[..., Any], *args: Any) -> Any:
    """On a thread of its own that nothing waits for at exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        try:
            outcome = (future.set_result, function(*args))
        except BaseException as error:
            outcome = (future.set_exception, error)
        try:
            loop.call_soon_threadsafe(lambda: future.done() or outcome[0](outcome[1]))
        except RuntimeError:  # the loop is closed: nobody is interested
            pass

    threading.Thread(target=run, name="libpresence-stop", daemon=True).start()
    return await future
