"""What several test files use: a folded view of events, waiting for conditions, programs of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

DEADLINE = 20.0
LOCAL = {"transport": "memory"}


async def until(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Waits until the condition holds; gives its value."""
    end = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come true in {DEADLINE} s"
        await asyncio.sleep(0.002)


def until_sync(condition: Callable[[], Any], what: str = "the condition") -> Any:
    end = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not come true in {DEADLINE} s"
        time.sleep(0.002)
    return value


async def next_event(events: Any) -> Any:
    return await asyncio.wait_for(events.__anext__(), DEADLINE)


def by_ref(presences: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{key: {ref: user fields}}: what members are compared by."""
    return {
        key: {
            meta["phx_ref"]: {name: value for name, value in meta.items() if not name.startswith("phx_ref")}
            for meta in entry["metas"]
        }
        for key, entry in presences.items()
    }


class Fold:
    """Events folded by ref; checks that no leave comes without its join and no join twice."""

    def __init__(self) -> None:
        self.state: dict[str, dict[str, Any]] = {}
        self.states = 0
        self.resyncs = 0

    def take(self, event: Any) -> None:
        if event.event == "presence_state":
            self.states += 1
            self.resyncs += event.resync
            self.state = by_ref(event.payload)
        else:
            self.diff(event.payload)

    def diff(self, payload: dict[str, Any]) -> None:
        joins, leaves = by_ref(payload["joins"]), by_ref(payload["leaves"])
        for key, metas in joins.items():
            for ref, meta in metas.items():
                assert ref not in self.state.get(key, {}), f"{key} joined twice"
                self.state.setdefault(key, {})[ref] = meta
        for key, metas in leaves.items():
            for ref, meta in metas.items():
                assert self.state.get(key, {}).get(ref) == meta, f"{key} left but was not shown"
                del self.state[key][ref]
            if not self.state[key]:
                del self.state[key]


def program(text: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs Python text as a process of its own. That a busy machine was slow is no warning to look at."""
    quiet = "import logging\nlogging.getLogger('asyncio').setLevel(logging.ERROR)\n"
    return subprocess.run(
        [sys.executable, "-X", "dev", "-c", quiet + textwrap.dedent(text), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
