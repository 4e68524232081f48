"""Which channel serves a topic: a topic itself, or a prefix that ends in `*`; the exact and the longest win."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import InvalidArgument

if TYPE_CHECKING:
    from ._channel import Channel


class Patterns:
    def __init__(self) -> None:
        self._exact: dict[str, type[Channel]] = {}
        self._prefixes: list[tuple[str, type[Channel]]] = []

    def add(self, pattern: str, channel: type[Channel]) -> None:
        if not isinstance(pattern, str) or not pattern or "*" in pattern[:-1]:
            raise InvalidArgument(f'a pattern is a topic, or a beginning and one "*" at its end, not {pattern!r}')
        if pattern in self._exact or any(pattern == f"{prefix}*" for prefix, _ in self._prefixes):
            raise InvalidArgument(f"pattern {pattern!r} has a channel already")
        if pattern.endswith("*"):
            self._prefixes.append((pattern[:-1], channel))
            self._prefixes.sort(key=lambda item: -len(item[0]))
        else:
            self._exact[pattern] = channel

    def find(self, topic: str) -> type[Channel] | None:
        if topic in self._exact:
            return self._exact[topic]
        return next((channel for prefix, channel in self._prefixes if topic.startswith(prefix)), None)
