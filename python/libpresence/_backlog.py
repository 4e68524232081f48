"""Events of many topics that wait for one consumer, bounded as a whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ._types import Event


class Backlog:
    """When it is full, the topic that holds the most is dropped and named: it needs a fresh state instead."""

    def __init__(self, most_bytes: int, most_events: int, unbounded: Callable[[], bool]) -> None:
        self._most_bytes = most_bytes
        self._most_events = most_events
        self._unbounded = unbounded  # during the first sync nothing is dropped
        self._bytes = 0
        self._events = 0
        self._topics: dict[str, deque[Event]] = {}
        self._sizes: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._topics)

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics

    @property
    def topics(self) -> list[str]:
        return list(self._topics)

    def push(self, event: Event) -> str | None:
        """The topic that was dropped to make room, if any."""
        self._topics.setdefault(event.topic, deque()).append(event)
        self._sizes[event.topic] = self._sizes.get(event.topic, 0) + event.size
        self._bytes += event.size
        self._events += 1
        if (self._bytes <= self._most_bytes and self._events <= self._most_events) or self._unbounded():
            return None
        largest = max(self._topics, key=lambda topic: (self._sizes[topic], len(self._topics[topic])))
        self.drop(largest)
        return largest

    def pop(self, topic: str) -> Event | None:
        waiting = self._topics.get(topic)
        if not waiting:
            return None
        event = waiting.popleft()
        self._bytes -= event.size
        self._events -= 1
        self._sizes[topic] -= event.size
        if not waiting:
            del self._topics[topic], self._sizes[topic]
        return event

    def drop(self, topic: str) -> None:
        while self.pop(topic) is not None:
            pass
