"""Events of many topics that wait for one consumer, bounded as a whole."""

from __future__ import annotations

from collections import deque

from ._bound import Bound
from ._types import Event


class Backlog:
    """When it is full, the topic that holds the most is dropped and named: it needs a fresh state instead."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
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
        if self._bound.add(event.size):
            return None
        largest = max(self._topics, key=lambda topic: (self._sizes[topic], len(self._topics[topic])))
        self.drop(largest)
        return largest

    def pop(self, topic: str) -> Event | None:
        waiting = self._topics.get(topic)
        if not waiting:
            return None
        event = waiting.popleft()
        self._bound.take(event.size)
        self._sizes[topic] -= event.size
        if not waiting:
            del self._topics[topic], self._sizes[topic]
        return event

    def drop(self, topic: str) -> None:
        while self.pop(topic) is not None:
            pass
