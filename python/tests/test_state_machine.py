"""A hypothesis state machine over clusters in virtual time: whatever is called, tracked, cut, crashed and healed, every
member shows its own at once, diffs fold to lists at every moment, and all agree once they can.

To copy for a program of your own: `Machine` knows what was tracked and nothing about how that spreads.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from observing import Fold, by_ref

from libpresence import AlreadyTracked, NotTracked, Owner, PresenceTimeout, Tracker
from libpresence import _feed as feed
from libpresence.testing import Cluster

NAMES, TOPICS, KEYS = ("a", "b", "c", "d"), ("room", "lobby"), ("u1", "u2", "u3")
BASE = {"deadline": None, "stateful_step_count": 40, "suppress_health_check": list(HealthCheck), "print_blob": True}
FIXED = settings(max_examples=60, derandomize=True, database=None, **BASE)  # type: ignore[arg-type]
FRESH = settings(max_examples=60, database=None, **BASE)  # type: ignore[arg-type]

names, topics, keys = st.sampled_from(NAMES), st.sampled_from(TOPICS), st.sampled_from(KEYS)
metas = st.fixed_dictionaries({}, optional={"n": st.integers(0, 3), "text": st.text(max_size=5)})
slots = st.integers(0, 1)  # of owners
Entry = tuple[int, str, str]  # owner slot, topic, key


class Member(Tracker):
    """Folds what its callbacks are told, topic by topic."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.told = {topic: Fold() for topic in TOPICS}

    def handle_diff(self, diff: Any) -> None:
        for topic, payload in diff.items():
            self.told[topic].diff(payload)


class Running:
    """A member and what it tracks."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.owners: list[Owner] = [member.owner(), member.owner()]
        self.tracked: dict[Entry, dict[str, Any]] = {}
        self.subscriptions: list[tuple[str, Any, Fold]] = []
        self.paused = False
        self.side = 0

    def shows(self, topic: str) -> Any:
        return by_ref(self.member.list(topic))

    def close(self) -> None:
        for owner in self.owners:
            owner.close()

    def drop(self, wanted: Any) -> int:
        gone = [entry for entry in self.tracked if wanted(entry)]
        for entry in gone:
            del self.tracked[entry]
        return len(gone)


class Machine(RuleBasedStateMachine):
    member_class: type[Member] = Member

    @initialize(seed=st.integers(0, 2**32), latency=st.sampled_from([(0.001, 0.003), (0, 0), (0.02, 0.4)]))
    def begin(self, seed: int, latency: tuple[float, float]) -> None:
        self.cluster = Cluster(seed, latency=latency)
        self.running: dict[str, Running] = {}
        self.sides: dict[str, int] = {}  # of hosts: a restart stays where it was
        for name in NAMES[:2]:
            self.start(name)

    def get(self, name: str) -> Running:
        """The member of that name; started if it does not run."""
        if name not in self.running:
            self.start(name)
        return self.running[name]

    # ---- members ----

    def start(self, name: str) -> None:
        self.running[name] = Running(self.cluster.start(name, self.member_class))
        self.running[name].side = self.sides.get(name, 0)

    @rule(name=names)
    def start_or_restart(self, name: str) -> None:
        self.get(name)

    @precondition(lambda self: len(self.running) > 1)
    @rule(data=st.data(), silent=st.booleans())
    def crash(self, data: Any, silent: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        it = self.running.pop(name)
        self.cluster.crash(it.member, silent=silent)
        it.close()  # it is over: nobody hears of this

    @precondition(lambda self: len(self.running) > 1)
    @rule(data=st.data())
    def stop(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        it = self.running.pop(name)
        self.cluster.stop(it.member)
        it.close()

    @rule(name=names)
    def pause_or_resume(self, name: str) -> None:
        it = self.get(name)
        (self.cluster.resume if it.paused else self.cluster.pause)(it.member)
        it.paused = not it.paused

    # ---- presences ----

    @rule(name=names, slot=slots, topic=topics, key=keys, meta=metas)
    def track(self, name: str, slot: int, topic: str, key: str, meta: dict[str, Any]) -> None:
        it, entry = self.get(name), (slot, topic, key)
        if entry in it.tracked:
            with pytest.raises(AlreadyTracked):
                it.member.track(it.owners[slot], topic, key, meta)
        else:
            it.member.track(it.owners[slot], topic, key, meta)
            it.tracked[entry] = meta

    @rule(name=names, slot=slots, topic=topics, chosen=st.sets(keys, min_size=1), meta=metas)
    def track_many(self, name: str, slot: int, topic: str, chosen: set[str], meta: dict[str, Any]) -> None:
        """All or none."""
        it = self.get(name)
        items = [(topic, key, meta) for key in sorted(chosen)]
        taken = [index for index, (_, key, _) in enumerate(items) if (slot, topic, key) in it.tracked]
        if taken:
            with pytest.raises(AlreadyTracked) as refused:
                it.member.track_many(it.owners[slot], items)
            assert refused.value.index == taken[0]
        else:
            it.member.track_many(it.owners[slot], items)
            it.tracked.update({(slot, topic, key): meta for key in chosen})

    @rule(name=names, slot=slots, topic=topics, key=keys, meta=metas)
    def update(self, name: str, slot: int, topic: str, key: str, meta: dict[str, Any]) -> None:
        it, entry = self.get(name), (slot, topic, key)
        if entry in it.tracked:
            it.member.update(it.owners[slot], topic, key, meta)
            it.tracked[entry] = meta
        else:
            with pytest.raises(NotTracked):
                it.member.update(it.owners[slot], topic, key, meta)

    @rule(name=names, slot=slots, topic=topics, key=keys)
    def untrack(self, name: str, slot: int, topic: str, key: str) -> None:
        it = self.get(name)
        assert it.member.untrack(it.owners[slot], topic, key) == it.drop(lambda entry: entry == (slot, topic, key))

    @rule(name=names, slot=slots)
    def untrack_owner(self, name: str, slot: int) -> None:
        it = self.get(name)
        assert it.member.untrack(it.owners[slot]) == it.drop(lambda entry: entry[0] == slot)

    @rule(name=names, slot=slots)
    def close_owner(self, name: str, slot: int) -> None:
        it = self.get(name)
        it.owners[slot].close()
        it.drop(lambda entry: entry[0] == slot)
        it.owners[slot] = it.member.owner()

    @rule(name=names, topic=topics)
    def subscribe(self, name: str, topic: str) -> None:
        it = self.get(name)
        it.subscriptions.append((topic, it.member.subscribe(topic, timeout=0), Fold()))

    # ---- the network and time ----

    @rule(data=st.data())
    def partition(self, data: Any) -> None:
        chosen = data.draw(st.sets(st.sampled_from(sorted(self.running))))
        self.cluster.partition([self.running[name].member for name in sorted(chosen)])
        for name, it in self.running.items():
            it.side = self.sides[name] = int(name in chosen)

    @rule()
    def heal(self) -> None:
        self.cluster.heal()
        self.sides.clear()
        for it in self.running.values():
            it.side = 0

    @rule(seconds=st.sampled_from([0.001, 0.05, 0.7, 3, 20]))
    def run(self, seconds: float) -> None:
        self.cluster.run(seconds)

    @rule()
    def settle(self) -> None:
        self.cluster.settle()
        for it in self.running.values():
            for topic in TOPICS:
                assert _plain(it.shows(topic)) == self.expected(it, topic)

    def expected(self, viewer: Running, topic: str) -> Any:
        """What a member shows once its side agrees; one that stands still is seen by itself alone, and as it was."""
        if viewer.paused:
            return _plain(viewer.shows(topic))
        reached = [it for it in self.running.values() if it.side == viewer.side and not it.paused]
        return _sorted(
            (key, meta) for it in reached for (_, where, key), meta in it.tracked.items() if where == topic
        )

    # ---- what always holds ----

    @invariant()
    def everybody_shows_its_own(self) -> None:
        for it in self.running.values():
            for topic in TOPICS:
                entries = it.member.entries(topic)
                own = _sorted((entry.key, entry.meta) for entry in entries if entry.member == it.member.members()[0].name)
                assert own == _sorted((k, meta) for (_, where, k), meta in it.tracked.items() if where == topic)

    @invariant()
    def diffs_fold_to_lists(self) -> None:
        for it in self.running.values():
            it.member.settle()
            for topic, fold in it.member.told.items():
                assert fold.state == it.shows(topic)
            for topic, events, fold in it.subscriptions:
                _take_all(events, fold)
                assert fold.states == 1 and fold.state == it.shows(topic)

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        try:
            for it in self.running.values():
                if it.paused:
                    self.cluster.resume(it.member)
                    it.paused = False
            self.heal()
            self.settle()
            self.diffs_fold_to_lists()
            shown = [[it.shows(topic) for topic in TOPICS] for it in self.running.values()]
            assert all(one == shown[0] for one in shown)
        finally:
            self.cluster.close()
            for it in self.running.values():
                it.close()


def _sorted(pairs: Any) -> list[tuple[str, str]]:
    return sorted((key, repr(sorted(meta.items()))) for key, meta in pairs)


def _plain(shown: Any) -> list[tuple[str, str]]:
    return _sorted((key, meta) for key, metas in shown.items() for meta in metas.values())


def _take_all(events: Any, fold: Fold) -> None:
    try:
        for event in events:
            fold.take(event)
    except PresenceTimeout:
        pass


def test_fixed_examples() -> None:
    run_state_machine_as_test(Machine, settings=FIXED)


def test_fresh_examples() -> None:
    run_state_machine_as_test(Machine, settings=FRESH)


# ---- the machine sees what it is to see ----


def fails(machine: type[Machine], steps: int, phases: tuple[Phase, ...]) -> str:
    """Runs until it fails, and gives the story."""
    found = settings(FIXED, max_examples=200, stateful_step_count=steps, phases=phases, report_multiple_bugs=False)
    with pytest.raises((AssertionError, pytest.fail.Exception)) as failure:
        run_state_machine_as_test(machine, settings=found)
    story = "\n".join(getattr(failure.value, "__notes__", []))
    return story


def test_a_lost_leave_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    push = feed.Feed.push

    def lossy(self: Any, event: Any) -> None:
        if not any(change.kind == "leave" for change in event.changes):
            push(self, event)

    monkeypatch.setattr(feed.Feed, "push", lossy)
    story = fails(Machine, 40, (Phase.generate,))
    assert "subscribe(" in story and "track" in story, story


def test_a_lost_update_is_found_and_shrunk() -> None:
    class Lossy(Member):
        def update(self, owner: Any, topic: Any, key: Any, meta: Any, *, if_ref: str | None = None) -> str:
            if "n" in meta:
                return "a ref that nobody has"
            return super().update(owner, topic, key, meta, if_ref=if_ref)

    class Broken(Machine):
        member_class = Lossy

    story = fails(Broken, 12, (Phase.generate, Phase.shrink))
    assert "update(" in story and story.count("state.") <= 8, story
