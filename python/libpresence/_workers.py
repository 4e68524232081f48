"""Daemon threads that run the hooks of a Tracker. A hook that never returns keeps its thread; another is started."""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ._fetch import inside

STUCK_FACTOR = 4  # so many times the fetches allowed at once may be stuck before hooks are refused


class _Job(NamedTuple):
    where: str | None
    hook: Callable[..., Any]
    args: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Workers:
    def __init__(self, concurrency: int) -> None:
        self._most = STUCK_FACTOR * concurrency + 2
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._here = threading.local()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def current(self) -> str | None:
        """Which hook the calling thread runs, if any."""
        where: str | None = getattr(self._here, "where", None)
        return where

    async def call(self, hook: Callable[..., Any], *args: Any) -> Any:
        loop = asyncio.get_running_loop()
        job = _Job(inside.get(), hook, args, loop, loop.create_future())
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name="libpresence-hook", daemon=True).start()
            else:
                raise RuntimeError(f"all {self._most} threads are in hooks that do not return")
            self._jobs.put(job)
        return await job.future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._here.where = job.where
            outcome = _outcome(job)
            self._here.where = None
            with self._lock:
                self._idle += 1
            try:
                job.loop.call_soon_threadsafe(_set, job.future, *outcome)
            except RuntimeError:  # the loop is closed: the tracker is over
                return
            del job, outcome

    def stop(self) -> None:
        """Idle threads end; a stuck one is left alone."""
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)


def _outcome(job: _Job) -> tuple[Any, BaseException | None]:
    try:
        result = job.hook(*job.args)
        if inspect.isawaitable(result):
            getattr(result, "close", lambda: None)()
            raise TypeError("hooks of a Tracker are plain functions; asynchronous ones are for Presence")
        return result, None
    except Exception as error:
        return None, error
    except BaseException as error:  # SystemExit and the like end the hook, not the thread of the tracker
        failure = RuntimeError(f"the hook raised {type(error).__name__}")
        failure.__cause__ = error
        return None, failure


def _set(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):  # which a future does not take
        failure = RuntimeError("the hook raised StopIteration")
        failure.__cause__ = error
        error = failure
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
