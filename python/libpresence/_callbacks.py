"""The callbacks of a class, one at a time: handle_diff with every topic that is ready, handle_metas for each of them,
handle_member, and after lost diffs the difference to what was last given.

Happy path: push -> backlog -> one task takes the first diff of every topic -> handle_diff -> mirror -> handle_metas.
Failures: a hook raises, or is asynchronous where it must not be: logged, the next is called. It never returns: diffs
wait, then are dropped per topic, and the topic is compared with the core when its turn comes. The tracker is over: the
task ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from ._backlog import Backlog
from ._errors import PresenceError, TrackerClosed
from ._fetch import CallHook, Fetcher, run_inside
from ._mirror import Mirror, sides_of
from ._native import Core
from ._types import Diff, Event, Member, Presences, TopicDiff, entry_from_row, presences_from_entries

logger = logging.getLogger("libpresence")

MOST_MEMBER_REPORTS = 10_000

Hook = Callable[..., Any]


class Callbacks:
    def __init__(
        self, core: Core, hooks: dict[str, Hook], call: CallHook, fetcher: Fetcher | None, backlog: Backlog
    ) -> None:
        self._core = core
        self._hooks = hooks
        self._call = call
        self._fetcher = fetcher
        self._backlog = backlog
        self._due: dict[str, bool] = {}  # topics to be compared with the core; True: diffs were lost
        self._floor: dict[str, int] = {}
        self._mirrors: dict[str, Mirror] = {}
        self._reports: deque[Member] = deque(maxlen=MOST_MEMBER_REPORTS)
        self._order: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.resyncs = 0

    @property
    def wants_diffs(self) -> bool:
        return any(name in self._hooks for name in ("handle_diff", "handle_metas", "handle_resync"))

    # ---- what is to be told ----

    def push(self, event: Event) -> None:
        if event.topic in self._due or event.seq <= self._floor.get(event.topic, 0):
            return
        dropped = self._backlog.push(event)
        if dropped is not None:
            self.resync(dropped)
        self._go()

    def begin(self, topics: list[str]) -> None:
        """What is there at the start is told as joins."""
        self._due.update((topic, False) for topic in topics)
        self._go()

    def resync(self, topic: str) -> None:
        self._backlog.drop(topic)
        if topic not in self._due:
            self._due[topic] = True
            self.resyncs += 1
        self._go()

    def resync_all(self) -> None:
        for topic in {*self._backlog.topics, *self._mirrors}:
            self.resync(topic)

    def report(self, member: Member) -> None:
        self._order.clear()
        if "handle_member" in self._hooks:
            self._reports.append(member)
            self._go()

    # ---- telling ----

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What is being told now, if anything."""
        return self._task if self._task is not None and not self._task.done() else None

    def _go(self) -> None:
        if self.task is None and not self._stopping:
            self._task = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        try:
            await self._tell_all()
        except TrackerClosed:
            pass

    async def _tell_all(self) -> None:
        while not self._stopping:
            if self._reports:
                member = self._reports.popleft()
                await self._hook("handle_member", member.name, member)
            elif self._due:
                topic = next(iter(self._due))
                await self._tell_difference(topic, self._due.pop(topic))
            elif self._backlog:
                await self._tell_diffs([self._backlog.pop(topic) for topic in self._backlog.topics])
            else:
                return

    async def _tell_diffs(self, popped: list[Event | None]) -> None:
        events = [event for event in popped if event is not None]
        diff = Diff((event.topic, event.payload) for event in events)
        await self._hook("handle_diff", ", ".join(diff), diff)
        for event in events:
            mirror = self._mirrors.setdefault(event.topic, Mirror(self._order_of))
            mirror.apply(event.changes, event.payload["joins"])
            if not mirror:
                del self._mirrors[event.topic]
            await self._hook("handle_metas", event.topic, event.topic, event.payload, mirror.presences)

    async def _tell_difference(self, topic: str, lost: bool) -> None:
        snapshot = self._core.entry_rows(topic.encode())
        self._floor[topic] = snapshot.seq
        entries = [entry_from_row(topic, row) for row in json.loads(snapshot.text)]
        changes = self._mirrors.get(topic, Mirror(self._order_of)).difference(topic, entries)
        if lost and "handle_resync" in self._hooks:
            await self._tell_resync(topic, TopicDiff(sides_of(changes), changes), presences_from_entries(entries))
        elif changes:
            payload = TopicDiff(sides_of(changes), changes)
            event = Event(topic, "presence_diff", snapshot.seq, payload=payload, changes=changes, size=0)
            await self._tell_diffs([await self._fetcher.diff(event) if self._fetcher else event])

    async def _tell_resync(self, topic: str, diff: TopicDiff, presences: Presences) -> None:
        if self._fetcher is not None:
            presences, _ = await self._fetcher.state(topic, presences)
        mirror = self._mirrors.setdefault(topic, Mirror(self._order_of))
        mirror.apply(diff.changes, presences)
        if not mirror:
            del self._mirrors[topic]
        await self._hook("handle_resync", topic, topic, presences)

    async def _hook(self, name: str, about: str, *args: Any) -> None:
        hook = self._hooks.get(name)
        if hook is None:
            return
        values = [arg() if callable(arg) else arg for arg in args]
        task = asyncio.get_running_loop().create_task(run_inside("callback", self._call, hook, *values))
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if task.cancelled():
            logger.error("%s for %r was cancelled", name, about)
        elif (error := task.exception()) is not None:
            logger.error("%s for %r failed", name, about, exc_info=error)

    def _order_of(self, member: str) -> str:
        if member not in self._order:
            try:
                self._order = {row[0]: row[1] for row in self._core.member_rows()}
            except PresenceError:
                pass
        return self._order.get(member, "~" + member)

    # ---- the end ----

    async def stop(self, patience: float, here: bool) -> None:
        """The callback that runs may end within `patience`; what waits is not told. `here`: it is the caller and goes on."""
        self._stopping = True
        task = self.task
        if task is None:
            return
        if not here:
            await asyncio.wait({task}, timeout=patience)
            task.cancel()


