"""Fixtures: both event loops, and conditions with a deadline instead of sleeps."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop

DEADLINE = 20.0

Run = Callable[[Awaitable[Any]], Any]


def _run_with(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Run:
    def run(main: Awaitable[Any]) -> Any:
        loop = new_loop()
        try:
            return loop.run_until_complete(asyncio.wait_for(main, 3 * DEADLINE))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            gc.collect()

    return run


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on a new loop of either kind."""
    return _run_with(asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop)


@pytest.fixture
def run_once() -> Run:
    return _run_with(asyncio.new_event_loop)


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The error lines logged so far."""
    caplog.set_level(logging.DEBUG, "libpresence")
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


class _Tally:
    """Ends the run with "N passed, N failed", as every runner of the project does."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.ran: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        if report.when == "call" or report.failed:
            self.ran.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        print(f"{len(self.ran - self.failed)} passed, {len(self.failed)} failed")


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.collectonly:
        config.pluginmanager.register(_Tally(), "tally")
