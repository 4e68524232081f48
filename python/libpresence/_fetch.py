"""fetch: asked once per side of a diff or slice of a state, within a time, a few topics at a time.

A fetch that takes too long, raises or returns no mapping leaves the entries as they are; that is logged, and the
event says so. The hook gets a copy, and `metas` stay ours whatever it returns.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from ._errors import TrackerClosed
from ._types import Event, Presences

logger = logging.getLogger("libpresence")

CallHook = Callable[..., Awaitable[Any]]
Extras = Mapping[Any, Any]

# What is running: "fetch" or "callback" inside a hook. settle() must not wait for its own caller.
inside: ContextVar[str | None] = ContextVar("libpresence_inside", default=None)


async def run_inside(where: str, call: CallHook, hook: Callable[..., Any], *args: Any) -> Any:
    inside.set(where)  # the task of the hook has a context of its own
    return await call(hook, *args)


def merge(presences: Presences, extras: Extras) -> Presences:
    """The entries with what fetch added; keys that were not asked for, and entries of no use, are ignored."""
    merged: Presences = {}
    for key, entry in presences.items():
        extra = extras.get(key)
        merged[key] = {**extra, "metas": entry["metas"]} if isinstance(extra, Mapping) else entry
    return merged


class Fetcher:
    def __init__(
        self, hook: Callable[..., Any], call: CallHook, *, batch: int, concurrency: int, timeout: float
    ) -> None:
        self._hook = hook
        self._call = call
        self._batch = batch
        self._timeout = timeout
        self._slots = asyncio.Semaphore(concurrency)
        self._stopped = False
        self._running: set[asyncio.Task[Any]] = set()
        self._lists: dict[str, tuple[bytes, asyncio.Task[tuple[Extras, bool]]]] = {}

    async def diff(self, event: Event) -> Event:
        """One call per side that is not empty."""
        payload = event.payload
        sides = [side for side in ("joins", "leaves") if payload[side]]
        answers = await asyncio.gather(*(self._ask(event.topic, payload[side]) for side in sides))
        found = {side: merge(payload[side], answer or {}) for side, answer in zip(sides, answers, strict=True)}
        return event.enriched({**payload, **found}, fetched=None not in answers)

    async def state(self, topic: str, presences: Presences) -> tuple[Presences, bool]:
        extras, fetched = await self._extras(topic, presences)
        return merge(presences, extras), fetched

    async def list(self, topic: str, text: bytes) -> Presences:
        """A state that was asked for; those who ask for the same at the same time share the calls."""
        presences: Presences = json.loads(text)
        if not presences:
            return presences
        shared = self._lists.get(topic)
        if shared is None or shared[0] != text:
            shared = (text, self._start(self._extras(topic, presences)))
            self._lists[topic] = shared
            shared[1].add_done_callback(partial(self._forget, topic))
        try:
            extras, _ = await asyncio.shield(shared[1])
        except asyncio.CancelledError:
            if shared[1].cancelled():
                raise TrackerClosed() from None
            raise
        return merge(presences, extras)

    def _forget(self, topic: str, task: asyncio.Task[Any]) -> None:
        if topic in self._lists and self._lists[topic][1] is task:
            del self._lists[topic]

    async def _extras(self, topic: str, presences: Presences) -> tuple[Extras, bool]:
        extras: dict[Any, Any] = {}
        keys = list(presences)
        for start in range(0, len(keys), self._batch):
            part = {key: presences[key] for key in keys[start : start + self._batch]}
            answer = await self._ask(topic, part)
            if answer is None:
                return extras, False
            extras.update((key, answer[key]) for key in part if key in answer)
        return extras, True

    async def _ask(self, topic: str, presences: Presences) -> Extras | None:
        """One call of the hook; None when it failed."""
        asked: Presences = json.loads(json.dumps(presences))
        async with self._slots:
            task = self._start(run_inside("fetch", self._call, self._hook, topic, asked))
            try:
                await asyncio.wait({task}, timeout=self._timeout)
            finally:
                task.cancel()  # does nothing to a task that is done
        if not task.done():
            logger.error("fetch for topic %r took longer than %g s", topic, self._timeout)
            return None
        return self._answer(topic, task)

    def _answer(self, topic: str, task: asyncio.Task[Any]) -> Extras | None:
        if task.cancelled() and self._stopped:
            raise TrackerClosed()
        if task.cancelled():
            logger.error("fetch for topic %r was cancelled", topic)
            return None
        error = task.exception()
        if error is not None:
            logger.error("fetch for topic %r failed", topic, exc_info=error)
            return None
        if not isinstance(task.result(), Mapping):
            logger.error("fetch for topic %r returned %s, not a mapping", topic, type(task.result()).__name__)
            return None
        return _plain(topic, task.result())

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # it has been logged, or comes too late

    def stop(self) -> None:
        """Whoever waits for a fetch gets TrackerClosed."""
        self._stopped = True
        for task in list(self._running):
            task.cancel()


def _plain(topic: str, answer: Extras) -> Extras | None:
    """A dict of the answer: a mapping may be user-made and fail when it is read."""
    try:
        return {key: dict(entry) if isinstance(entry, Mapping) else None for key, entry in answer.items()}
    except Exception as error:
        logger.error("the result of fetch for topic %r cannot be read", topic, exc_info=error)
        return None
