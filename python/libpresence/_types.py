"""What callers get: members, changes, diffs, entries, counters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from ._values import with_refs

Meta = dict[str, Any]
PresenceEntry = dict[str, Any]  # {"metas": [meta, ...], ...whatever fetch added}
Presences = dict[str, PresenceEntry]

KINDS = ("", "join", "update", "leave")
REASONS = (
    None,
    "untrack",
    "owner_closed",
    "lease",
    "member_left",
    "member_down",
    "replaced",
    "unknown",
)
STATUSES = ("", "up", "suspect", "down", "permdown", "left", "conflict")


@dataclass(frozen=True)
class Member:
    """One running tracker, as this member sees it."""

    name: str
    id: str  # 16 hexadecimal digits, new at each start
    address: str  # "" when it only dials
    incarnation: int
    status: str  # up, suspect, down; of an event also permdown, left, conflict
    synced: bool
    is_self: bool
    rtt_ms: int | None  # None: not measured
    entries: int
    observer: bool = False
    linked: bool = False
    reason: str | None = None  # of an event
    lag: int = 0  # changes of it that are known of and not here yet


def member_from_row(row: list[Any]) -> Member:
    name, id, address, incarnation, status, synced, is_self, rtt_ms, entries, observer, linked, reason, lag = row
    return Member(
        name,
        id,
        address,
        incarnation,
        STATUSES[status],
        bool(synced),
        bool(is_self),
        rtt_ms if rtt_ms >= 0 else None,
        entries,
        bool(observer),
        bool(linked),
        reason or None,
        lag,
    )


@dataclass(frozen=True)
class Change:
    """One join, update or leave of a diff."""

    kind: str  # join, update, leave
    topic: str
    key: str
    meta: Meta  # without refs; of a leave: what left
    prev_meta: Meta | None  # of an update
    ref: str
    prev_ref: str | None
    member: str
    reason: str | None  # of a leave
    first: bool  # this join put the key online
    last: bool  # this leave took it offline


@dataclass(frozen=True)
class Entry:
    """One presence as it is held, without fetch."""

    topic: str
    key: str
    meta: Meta
    ref: str
    prev_ref: str | None
    member: str
    local: bool


def change_from_row(topic: str, row: list[Any]) -> Change:
    kind, key, meta, prev_meta, ref, prev_ref, member, reason, first, last, _owner = row
    return Change(
        KINDS[kind],
        topic,
        key,
        meta or {},
        prev_meta,
        ref,
        prev_ref or None,
        member,
        REASONS[reason] if 0 <= reason < len(REASONS) else "unknown",
        bool(first),
        bool(last),
    )


def entry_from_row(topic: str, row: list[Any]) -> Entry:
    return Entry(topic, row[1], row[2] or {}, row[4], row[5] or None, row[6], row[10] != 0)


def presences_from_entries(entries: list[Entry]) -> Presences:
    presences: Presences = {}
    for entry in entries:
        meta = with_refs(entry.meta, entry.ref, entry.prev_ref)
        presences.setdefault(entry.key, {"metas": []})["metas"].append(meta)
    return presences


class Sides(TypedDict):
    joins: Presences
    leaves: Presences


class TopicDiff(dict[str, Presences]):
    """{"joins": presences, "leaves": presences} of one topic, and the typed changes beside it."""

    changes: list[Change]

    def __init__(self, sides: Mapping[str, Presences], changes: list[Change]) -> None:
        super().__init__(sides)
        self.changes = changes


class Diff(dict[str, TopicDiff]):
    """{topic: {"joins": ..., "leaves": ...}}, and the typed changes of all topics beside it."""

    @property
    def changes(self) -> list[Change]:
        return [change for topic_diff in self.values() for change in topic_diff.changes]


class Stats(dict[str, int]):
    """Counters since start; also as attributes."""

    def __getattr__(self, name: str) -> int:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Event:
    """One event of a subscription. It is shared by all consumers: read it, do not change it."""

    __slots__ = ("topic", "event", "resync", "fetched", "seq", "size", "_text", "_payload", "_rows", "_changes")

    def __init__(
        self,
        topic: str,
        event: str,
        seq: int,
        *,
        text: bytes | str | None = None,
        payload: Any = None,
        rows: bytes | None = None,
        changes: list[Change] | None = None,
        size: int | None = None,
        resync: bool = False,
        fetched: bool = True,
    ) -> None:
        self.topic = topic
        self.event = event
        self.seq = seq
        self.resync = resync
        self.fetched = fetched
        self.size = size if size is not None else len(text or b"") + len(rows or b"")
        self._text = text
        self._payload = payload
        self._rows = rows
        self._changes = changes

    @property
    def text(self) -> str:
        """The payload as JSON, built once."""
        if self._text is None:
            self._text = json.dumps(self._payload, ensure_ascii=False, separators=(",", ":"))
        elif isinstance(self._text, bytes):
            self._text = self._text.decode()
        return self._text

    @property
    def payload(self) -> Any:
        """presence_state: presences; presence_diff: {"joins": presences, "leaves": presences}."""
        if self._payload is None:
            payload = json.loads(self._text or b"{}")
            self._payload = payload if self.event == "presence_state" else TopicDiff(payload, self.changes)
        return self._payload

    @property
    def changes(self) -> list[Change]:
        """The typed changes of a presence_diff; empty for a presence_state."""
        if self._changes is None:
            self._changes = [change_from_row(self.topic, row) for row in json.loads(self._rows or b"[]")]
        return self._changes

    def enriched(self, payload: Any, fetched: bool) -> Event:
        """This event with what fetch added."""
        if self.event == "presence_diff":
            payload = TopicDiff(payload, self.changes)
        return Event(
            self.topic,
            self.event,
            self.seq,
            payload=payload,
            changes=self.changes,
            size=self.size,
            resync=self.resync,
            fetched=fetched,
        )

    def __repr__(self) -> str:
        resync = " resync" if self.resync else ""
        return f"<Event {self.event} {self.topic!r}{resync}>"
