"""Tracker: the class for programs without an event loop.

Its dispatching runs on a loop of its own in a daemon thread; hooks run in daemon threads beside it, so a slow one
holds up nothing else. None of them keeps the interpreter from exiting: at exit the core is stopped, which ends them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from ._calls import Calls
from ._dispatch import Dispatcher
from ._errors import PresenceTimeout, TrackerClosed, WrongState, WrongThread
from ._feed import StateDue
from ._hooks import find_hooks, split_hooks
from ._native import Core
from ._owners import Owners
from ._subscribe import SyncSubscription
from ._types import Diff, Event, Member, PresenceEntry, Presences, TopicDiff, entry_from_row, presences_from_entries
from ._values import key_bytes, optional_seconds, seconds, topic_bytes, topic_text
from ._workers import Workers

Self = TypeVar("Self", bound="Tracker")
Result = TypeVar("Result")

WAIT_SLICE = 0.1  # seconds between looks for a signal such as Ctrl-C


class Tracker(Calls):
    """One member of the cluster: the same names as Presence, as plain functions."""

    def __init__(self, **options: Any) -> None:
        self._given_hooks = split_hooks(options)
        super().__init__(options)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._workers: Workers | None = None

    # ---- hooks, called on threads of their own ----

    def fetch(self, topic: str, presences: Presences) -> Presences:
        """Adds to entries what only this application knows; gets all keys of a state or of one side of a diff."""
        return presences

    def handle_diff(self, diff: Diff) -> None:
        """What changed, per topic."""

    def handle_metas(self, topic: str, diff: TopicDiff, presences: Presences) -> None:
        """What changed in one topic, and the topic exactly as it was after that."""

    def handle_member(self, member: Member) -> None:
        """A member is up, suspect, down, permdown, left or in conflict."""

    def handle_resync(self, topic: str, presences: Presences) -> None:
        """Diffs of a topic were dropped; this is its state. Unless overridden, handle_diff and handle_metas get the
        difference to what they were last given."""

    # ---- life ----

    def start(self: Self) -> Self:
        """Opens the tracker; never waits for other members."""
        if self._core is not None:
            self._core.check_fork()
            raise TrackerClosed() if self._core.stopped else WrongState("started already")
        hooks = find_hooks(self, Tracker, self._given_hooks)
        core = Core(self._options)
        owners = Owners(core)
        self._workers = Workers(core.options.number("fetch_concurrency"))
        self._loop = asyncio.SelectorEventLoop()
        started: concurrent.futures.Future[Dispatcher] = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=_run,
            args=(self._loop, core, owners, hooks, self._workers, started),
            name="libpresence",
            daemon=True,
        )
        self._thread.start()
        self._dispatcher = started.result()
        self._core, self._owners = core, owners
        return self

    def stop(self, timeout: float = 5) -> None:
        """Tells the other members, for at most `timeout` seconds; stopping again does nothing."""
        timeout = seconds("timeout", timeout)
        core, dispatcher, thread = self._core, self._dispatcher, self._thread
        if core is None or dispatcher is None or thread is None:
            return
        core.check_fork()
        if thread.is_alive() and threading.current_thread() is not thread:
            try:
                self._on_loop(lambda: dispatcher.stop(timeout, self._hook() == "callback"))
            except TrackerClosed:  # somebody else has stopped it meanwhile
                pass
        if self._hook() is None:
            thread.join(timeout)

    def __enter__(self: Self) -> Self:
        return self if self._started() else self.start()

    def __exit__(self, *_error: object) -> None:
        if self._core is not None and not self._core.forked:
            self.stop()

    def __del__(self) -> None:
        """Nobody can stop it any more. One whose own methods are hooks is held by its thread, and lives on."""
        if self._core is not None and not self._core.stopped:
            self._core.leave_later("tracker")

    def _hook(self) -> str | None:
        """Which hook this thread runs, if any."""
        return self._workers.current() if self._workers is not None else None

    def _open_dispatcher(self) -> Dispatcher:
        if self._dispatcher is None:
            raise WrongState("not started")
        self._dispatcher.core.check_fork()
        return self._dispatcher

    def _on_loop(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Runs a coroutine on the loop of the tracker's own thread and waits for it."""
        loop, thread = self._loop, self._thread
        assert loop is not None and thread is not None
        if threading.current_thread() is thread:  # a finalizer ran there
            raise WrongThread()
        coroutine = work()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:
            coroutine.close()
            raise TrackerClosed() from None
        while not concurrent.futures.wait((future,), timeout=WAIT_SLICE).done:
            if not thread.is_alive() and not future.done():
                future.cancel()
                coroutine.close()
                raise TrackerClosed()
        return future.result()

    # ---- any thread ----

    def synced(self, timeout: float | None = None) -> str:
        """Waits for the first sync: "synced", or "alone" when no seed could be reached."""
        core, timeout = self._open_dispatcher().core, optional_seconds("timeout", timeout)
        if core.options.network:
            return core.synced_in_virtual_time(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = WAIT_SLICE if deadline is None else min(WAIT_SLICE, deadline - time.monotonic())
            result = core.wait_synced(max(0, int(left * 1000)))
            if result is not None:
                return result
            if deadline is not None and time.monotonic() >= deadline:
                raise PresenceTimeout(f"not synced within {timeout:g} s")

    def list(self, topic: Any) -> Presences:
        """Who is in a topic, as {key: {"metas": [...], ...what fetch added}}."""
        dispatcher, text = self._open_dispatcher(), topic_text(topic)
        encoded = topic_bytes(text)
        if dispatcher.fetches:
            return self._on_loop(lambda: dispatcher.list(text))
        presences: Presences = json.loads(dispatcher.core.state(encoded).text)
        return presences

    def get_by_key(self, topic: Any, key: Any) -> PresenceEntry | None:
        """The entry of one key, or None."""
        dispatcher, text = self._open_dispatcher(), topic_text(topic)
        rows = json.loads(dispatcher.core.entry_rows(topic_bytes(text), key_bytes(key)).text)
        presences = presences_from_entries([entry_from_row(text, row) for row in rows])
        if presences and dispatcher.fetches:
            presences = self._on_loop(lambda: dispatcher.enrich(text, presences))
        return next(iter(presences.values()), None)

    def subscribe(self, topic: Any, timeout: float | None = None) -> SyncSubscription:
        """The state of a topic, then its diffs; PresenceTimeout when `timeout` seconds bring none."""
        dispatcher, text = self._open_dispatcher(), topic_text(topic)
        topic_bytes(text)
        timeout = optional_seconds("timeout", timeout)
        return SyncSubscription(dispatcher, text, timeout, self._make_state)

    def _make_state(self, topic: str, due: StateDue) -> Event:
        dispatcher = self._open_dispatcher()
        if not dispatcher.fetches or not due.snapshot.entries:
            return dispatcher.plain_state(topic, due)
        return self._on_loop(lambda: dispatcher.state(topic, due))

    def settle(self) -> None:
        """Returns when queued diffs, running fetches and callbacks are done."""
        dispatcher, where = self._open_dispatcher(), self._hook()
        self._on_loop(lambda: dispatcher.settle(where))


def _run(
    loop: asyncio.AbstractEventLoop,
    core: Core,
    owners: Owners,
    hooks: Mapping[str, Callable[..., Any]],
    workers: Workers,
    started: concurrent.futures.Future[Dispatcher],
) -> None:
    """The thread: it holds the core, not the Tracker."""

    async def dispatch() -> None:
        try:
            dispatcher = Dispatcher(core, owners, dict(hooks), workers.call)
            dispatcher.start()
        except BaseException as error:
            started.set_exception(error)
            core.stop(0)
            return
        started.set_result(dispatcher)
        await dispatcher.ended.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:  # whoever waits for stop is to get its answer
            _, late = await asyncio.wait(others, timeout=WAIT_SLICE * 10)
            for task in late:
                task.cancel()
            await asyncio.sleep(0)

    try:
        loop.run_until_complete(dispatch())
    finally:
        workers.stop()
        loop.close()
