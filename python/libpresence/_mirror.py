"""What the callbacks of a class were last given of each topic: the state handle_metas shows, and what a resync is
compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ._types import Change, Entry, Presences
from ._values import with_refs


class Shown(NamedTuple):
    ref: str
    member: str
    order: str  # id of the member: metas of one key are ordered by it, then by time
    meta: dict[str, Any]  # without refs
    prev_ref: str | None


class Mirror:
    """One topic."""

    def __init__(self, order_of: Callable[[str], str]) -> None:
        self._order_of = order_of
        self._shown: dict[str, list[Shown]] = {}
        self._extras: dict[str, Mapping[str, Any]] = {}
        self._presences: Presences = {}

    def __bool__(self) -> bool:
        return bool(self._shown)

    def presences(self) -> Presences:
        """The state as handle_metas may keep it: entries are replaced, never changed."""
        return dict(self._presences)

    def apply(self, changes: list[Change], joins: Presences) -> None:
        """Takes one diff; `joins` carries what fetch added."""
        for change in changes:
            self._apply(change)
        for key in {change.key for change in changes}:
            extra = {name: value for name, value in joins.get(key, {}).items() if name != "metas"}
            if extra:
                self._extras[key] = extra
            self._rebuild(key)

    def _apply(self, change: Change) -> None:
        metas = self._shown.setdefault(change.key, [])
        if change.kind == "leave":
            self._shown[change.key] = [shown for shown in metas if shown.ref != change.ref]
            return
        order = self._order_of(change.member)
        new = Shown(change.ref, change.member, order, change.meta, change.prev_ref)
        for index, shown in enumerate(metas):
            if shown.ref == change.prev_ref or shown.ref == change.ref:
                metas[index] = new._replace(order=shown.order)
                return
        place = next((index for index, shown in enumerate(metas) if shown.order > order), len(metas))
        metas.insert(place, new)

    def _rebuild(self, key: str) -> None:
        metas = self._shown.get(key)
        if not metas:
            self._shown.pop(key, None)
            self._extras.pop(key, None)
            self._presences.pop(key, None)
            return
        full = [with_refs(shown.meta, shown.ref, shown.prev_ref) for shown in metas]
        self._presences[key] = {**self._extras.get(key, {}), "metas": full}

    def difference(self, topic: str, entries: list[Entry]) -> list[Change]:
        """The changes from what was shown to what is: joins, updates, leaves."""
        now: dict[str, dict[str, Entry]] = {}
        for entry in entries:
            now.setdefault(entry.key, {})[entry.ref] = entry
        joins, updates, leaves = [], [], []
        for key in {**self._shown, **now}:
            before = {shown.ref: shown for shown in self._shown.get(key, [])}
            after = now.get(key, {})
            replaced = set()
            for ref, entry in after.items():
                if ref in before:
                    continue
                old = before.get(entry.prev_ref) if entry.prev_ref and entry.prev_ref not in after else None
                if old is not None:
                    replaced.add(old.ref)
                    updates.append(_update(topic, entry, old))
                else:
                    joins.append(_join(topic, entry, first=not before))
            leaves += [
                _leave(topic, key, shown, last=not after)
                for ref, shown in before.items()
                if ref not in after and ref not in replaced
            ]
        return [*_firsts(joins), *updates, *_lasts(leaves)]


def _join(topic: str, entry: Entry, first: bool) -> Change:
    return Change(
        "join", topic, entry.key, entry.meta, None, entry.ref, entry.prev_ref, entry.member, None, first, False
    )


def _update(topic: str, entry: Entry, old: Shown) -> Change:
    return Change(
        "update", topic, entry.key, entry.meta, old.meta, entry.ref, old.ref, entry.member, None, False, False
    )


def _leave(topic: str, key: str, shown: Shown, last: bool) -> Change:
    return Change(
        "leave", topic, key, shown.meta, None, shown.ref, shown.prev_ref, shown.member, "unknown", False, last
    )


def _firsts(joins: list[Change]) -> list[Change]:
    """Only the first join of a key put it online."""
    seen: set[str] = set()
    result = []
    for change in joins:
        result.append(replace(change, first=change.first and change.key not in seen))
        seen.add(change.key)
    return result


def _lasts(leaves: list[Change]) -> list[Change]:
    """Only the last leave of a key took it offline."""
    seen: set[str] = set()
    result = []
    for change in reversed(leaves):
        result.append(replace(change, last=change.last and change.key not in seen))
        seen.add(change.key)
    return result[::-1]


def sides_of(changes: list[Change]) -> dict[str, Presences]:
    """The Phoenix shape of changes."""
    joins: Presences = {}
    leaves: Presences = {}
    for change in changes:
        if change.kind != "leave":
            meta = with_refs(change.meta, change.ref, change.prev_ref)
            joins.setdefault(change.key, {"metas": []})["metas"].append(meta)
        if change.kind == "leave":
            meta = with_refs(change.meta, change.ref, None)
            leaves.setdefault(change.key, {"metas": []})["metas"].append(meta)
        elif change.kind == "update":
            meta = with_refs(change.prev_meta or {}, change.prev_ref or "", None)
            leaves.setdefault(change.key, {"metas": []})["metas"].append(meta)
    return {"joins": joins, "leaves": leaves}
