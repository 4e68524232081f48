"""How much may wait for one consumer."""

from __future__ import annotations

from collections.abc import Callable


class Bound:
    """Counts what waits. During the first sync nothing overflows, and what waited at its end is allowed on top of the
    limits until the consumer is below them."""

    __slots__ = ("bytes", "events", "_most_bytes", "_most_events", "_extra_bytes", "_extra_events", "_unbounded")

    def __init__(self, most_bytes: int, most_events: int, unbounded: Callable[[], bool]) -> None:
        self.bytes = self.events = 0
        self._most_bytes, self._most_events = most_bytes, most_events
        self._extra_bytes = self._extra_events = 0
        self._unbounded = unbounded

    def add(self, size: int) -> bool:
        """False: that was too much."""
        self.bytes += size
        self.events += 1
        if self._unbounded():
            self._extra_bytes, self._extra_events = self.bytes, self.events
        return (
            self.bytes <= self._most_bytes + self._extra_bytes and self.events <= self._most_events + self._extra_events
        )

    def take(self, size: int) -> None:
        self.bytes -= size
        self.events -= 1
        if self.bytes <= self._most_bytes and self.events <= self._most_events:
            self._extra_bytes = self._extra_events = 0
