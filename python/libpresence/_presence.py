"""Presence: the class for asyncio and uvloop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, TypeVar

from ._calls import Calls
from ._dispatch import Dispatcher
from ._errors import TrackerClosed, WrongState, WrongThread
from ._fetch import inside
from ._hooks import call_hook, find_hooks, split_hooks
from ._native import Core
from ._owners import Owners
from ._subscribe import Subscription
from ._types import Diff, Member, PresenceEntry, Presences, TopicDiff, entry_from_row, presences_from_entries
from ._values import key_bytes, optional_seconds, seconds, topic_bytes, topic_text

Self = TypeVar("Self", bound="Presence")


class Presence(Calls):
    """One member of the cluster.

    Made with options, which are only checked; opened by `await start()` or `async with`. Subclasses override `fetch`
    and the `handle_…` methods, or these are given as arguments.
    """

    def __init__(self, **options: Any) -> None:
        self._given_hooks = split_hooks(options)
        super().__init__(options)
        self._loop: asyncio.AbstractEventLoop | None = None

    # ---- hooks: asynchronous or not ----

    def fetch(self, topic: str, presences: Presences) -> Presences | Awaitable[Presences]:
        """Adds to entries what only this application knows; gets all keys of a state or of one side of a diff."""
        return presences

    def handle_diff(self, diff: Diff) -> None | Awaitable[None]:
        """What changed, per topic."""
        return None

    def handle_metas(self, topic: str, diff: TopicDiff, presences: Presences) -> None | Awaitable[None]:
        """What changed in one topic, and the topic exactly as it was after that."""
        return None

    def handle_member(self, member: Member) -> None | Awaitable[None]:
        """A member is up, suspect, down, permdown, left or in conflict."""
        return None

    def handle_resync(self, topic: str, presences: Presences) -> None | Awaitable[None]:
        """Diffs of a topic were dropped; this is its state. Unless overridden, handle_diff and handle_metas get the
        difference to what they were last given."""
        return None

    # ---- life ----

    async def start(self: Self) -> Self:
        """Opens the tracker on this loop; never waits for other members."""
        if self._core is not None:
            self._core.check_fork()
            raise TrackerClosed() if self._core.stopped else WrongState("started already")
        self._loop = asyncio.get_running_loop()
        hooks = find_hooks(self, Presence, self._given_hooks)
        core = Core(self._options)
        owners = Owners(core)
        dispatcher = Dispatcher(core, owners, hooks, call_hook)
        try:
            dispatcher.start()
        except BaseException:
            await dispatcher.stop(0, False)
            raise
        self._core, self._owners, self._dispatcher = core, owners, dispatcher
        self._keeper = dispatcher.until_loop_ends()
        await anext(self._keeper)
        return self

    async def stop(self, timeout: float = 5) -> None:
        """Tells the other members, for at most `timeout` seconds; stopping again does nothing."""
        timeout = seconds("timeout", timeout)
        if self._dispatcher is not None:
            self._here()
            await self._dispatcher.stop(timeout, inside.get() == "callback")
            await self._keeper.aclose()

    async def __aenter__(self: Self) -> Self:
        return self if self._started() else await self.start()

    async def __aexit__(self, *_error: object) -> None:
        if self._core is not None and not self._core.forked:
            await self.stop()

    def _here(self) -> Dispatcher:
        dispatcher = self._dispatcher
        if dispatcher is None:
            raise WrongState("not started")
        dispatcher.core.check_fork()
        try:
            running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is not self._loop:
            raise WrongThread("this call is for the event loop that start() ran on; track, count and the like are not")
        return dispatcher

    def _check_here(self) -> None:
        self._here()

    # ---- on the loop ----

    async def synced(self, timeout: float | None = None) -> str:
        """Waits for the first sync: "synced", or "alone" when no seed could be reached."""
        return await self._here().synced(optional_seconds("timeout", timeout))

    async def list(self, topic: Any) -> Presences:
        """Who is in a topic, as {key: {"metas": [...], ...what fetch added}}."""
        text = topic_text(topic)
        topic_bytes(text)
        return await self._here().list(text)

    async def get_by_key(self, topic: Any, key: Any) -> PresenceEntry | None:
        """The entry of one key, or None."""
        dispatcher, text = self._here(), topic_text(topic)
        rows = json.loads(dispatcher.core.entry_rows(topic_bytes(text), key_bytes(key)).text)
        presences = presences_from_entries([entry_from_row(text, row) for row in rows])
        return next(iter((await dispatcher.enrich(text, presences)).values()), None)

    def subscribe(self, topic: Any) -> Subscription:
        """The state of a topic, then its diffs: `async with … as events: async for event in events: …`."""
        dispatcher, text = self._here(), topic_text(topic)
        topic_bytes(text)
        return Subscription(dispatcher, text, self._check_here)

    async def settle(self) -> None:
        """Returns when queued diffs, running fetches and callbacks are done."""
        await self._here().settle(inside.get())
