"""Tracker: the synchronous class."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from observing import DEADLINE, LOCAL, Fold, by_ref, until_sync

import libpresence
from libpresence import Tracker


def test_whole_surface() -> None:
    with Tracker(**LOCAL, name="one") as tracker:
        assert tracker.synced(timeout=DEADLINE) in ("synced", "alone")
        assert tracker.is_synced
        with tracker.owner() as owner:
            ref = tracker.track(owner, "room:1", "u1", {"status": "online"})
            assert tracker.list("room:1") == {"u1": {"metas": [{"status": "online", "phx_ref": ref}]}}
            assert tracker.get_by_key("room:1", "u1") == tracker.list("room:1")["u1"]
            assert tracker.get_by_key("room:1", "nobody") is None
            tracker.update(owner, "room:1", "u1", lambda meta: {**meta, "away": True}, if_ref=ref)
            [entry] = tracker.entries("room:1")
            assert (entry.topic, entry.key, entry.meta, entry.member, entry.local) == (
                "room:1", "u1", {"status": "online", "away": True}, "one", True,
            )  # fmt: skip
            assert tracker.count("room:1") == tracker.count("room:1", metas=True) == 1
            assert tracker.topics() == ["room:1"]
            assert [member.name for member in tracker.members()] == ["one"]
            assert tracker.stats().entries == 1
            with tracker.track_as("room:2", 5) as other:
                assert other.ref and tracker.count("room:2") == 1
        assert tracker.topics() == []
        tracker.settle()
    tracker.stop()
    with pytest.raises(libpresence.TrackerClosed):
        tracker.list("room:1")
    with pytest.raises(libpresence.TrackerClosed):
        tracker.start()


def test_subscribe() -> None:
    with Tracker(**LOCAL) as tracker, tracker.owner() as owner:
        fold = Fold()
        owner.track("t", "before")
        events = tracker.subscribe("t")
        for step in range(10):
            owner.track("t", step)
        for event in events:
            fold.take(event)
            if len(fold.state) == 11:
                break
        assert fold.states == 1
        with tracker.subscribe("t", timeout=0.02) as quiet:
            assert next(quiet).event == "presence_state"
            with pytest.raises(libpresence.PresenceTimeout):
                next(quiet)
            owner.track("t", "later")
            assert set(next(quiet).payload["joins"]) == {"later"}
        with pytest.raises(StopIteration):
            next(quiet)


def test_subscriber_ends_with_the_tracker() -> None:
    tracker = Tracker(**LOCAL).start()
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.extend(event.event for event in tracker.subscribe("t")))
    thread.start()
    until_sync(lambda: tracker._dispatcher is not None and tracker._dispatcher._feeds)
    tracker.stop()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_slow_subscriber() -> None:
    with Tracker(**LOCAL, callback_queue=10) as tracker, tracker.owner() as owner:
        tracker.synced(DEADLINE)
        tracker.settle()
        events, fold = tracker.subscribe("t"), Fold()
        fold.take(next(events))
        for step in range(50):
            owner.track("t", step)
            tracker.settle()
        fold.take(next(events))
        assert fold.resyncs == 1 and fold.state == by_ref(tracker.list("t"))
        owner.untrack("t", 7)
        fold.take(next(events))
        assert fold.state == by_ref(tracker.list("t"))


class Users(Tracker):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{**LOCAL, **options})
        self.asked: list[Any] = []
        self.told: list[Any] = []
        self.threads: set[str] = set()

    def fetch(self, topic: str, presences: Any) -> Any:
        self.asked.append((topic, sorted(presences)))
        self.threads.add(threading.current_thread().name)
        assert self.count(topic) >= 0
        return {key: {**entry, "user": key.upper()} for key, entry in presences.items()}

    def handle_diff(self, diff: Any) -> None:
        self.told.append(diff)
        for topic in diff:
            assert isinstance(self.list(topic), dict), "callbacks may call every method"
        self.settle()

    def handle_metas(self, topic: str, diff: Any, presences: Any) -> None:
        self.told.append(presences)


def test_hooks() -> None:
    with Users() as tracker, tracker.owner() as owner:
        events = tracker.subscribe("t")
        assert next(events).payload == {}
        owner.track("t", "a", {"n": 1})
        tracker.settle()
        assert next(events).payload["joins"]["a"]["user"] == "A"
        assert [set(told) for told in tracker.told] == [{"t"}, {"a"}]
        assert tracker.told[1]["a"]["user"] == "A"
        assert tracker.list("t")["a"]["user"] == "A"
        found = tracker.get_by_key("t", "a")
        assert found is not None and found["user"] == "A"
        assert next(iter(tracker.subscribe("t"))).payload["a"]["user"] == "A"
        assert threading.current_thread().name not in tracker.threads


def test_failing_and_asynchronous_hooks(errors: Any) -> None:
    async def later(*args: Any) -> None: ...

    def leave(*args: Any) -> None:
        raise SystemExit(3)

    with Tracker(**LOCAL, handle_diff=later, handle_metas=leave, fetch=lambda topic, presences: 1 / 0) as tracker:
        tracker.track(tracker, "t", "a")
        tracker.settle()
        assert set(tracker.list("t")) == {"a"}
        tracker.settle()
        lines = errors()
        assert sum("handle_diff" in line for line in lines) == 1
        assert sum("handle_metas" in line for line in lines) == 1
        assert sum("fetch" in line for line in lines) == 2


def test_hook_that_hangs(errors: Any) -> None:
    release = threading.Event()

    def fetch(topic: str, presences: Any) -> Any:
        if topic == "hangs":
            release.wait(DEADLINE)
        return {key: {**entry, "ok": True} for key, entry in presences.items()}

    try:
        with Tracker(**LOCAL, fetch=fetch, fetch_timeout_ms=50, fetch_concurrency=2) as tracker:
            events = tracker.subscribe("hangs", timeout=DEADLINE)
            assert next(events).payload == {}
            with tracker.owner() as owner:
                owner.track("fine", "a")
                for step in range(12):  # more than may be stuck
                    owner.track("hangs", step)
                    event = next(events)
                    assert set(event.payload["joins"]) == {str(step)} and not event.fetched
                    if step < 5:
                        assert tracker.list("fine")["a"]["ok"], "other topics have threads left"
                assert set(tracker.list("fine")) == {"a"}
            assert any("do not return" in str(line) or "took longer" in line for line in errors())
    finally:
        release.set()


def test_stop_waits_for_no_hook_that_hangs() -> None:
    inside, release, late = threading.Event(), threading.Event(), threading.Event()

    def handle_diff(diff: Any) -> None:
        inside.set()
        if not release.wait(3 * DEADLINE):
            late.set()

    try:
        tracker = Tracker(**LOCAL, handle_diff=handle_diff).start()
        tracker.track(tracker, "t", "a")
        assert inside.wait(DEADLINE)
        tracker.stop(timeout=0.1)
        assert not late.is_set(), "it hung all the time"
    finally:
        release.set()


def test_stop_from_a_hook() -> None:
    stopped = threading.Event()

    def handle_diff(diff: Any) -> None:
        tracker.stop()
        stopped.set()

    tracker = Tracker(**LOCAL, handle_diff=handle_diff).start()
    tracker.track(tracker, "t", "a")
    assert stopped.wait(DEADLINE)
    tracker.stop()


def test_stop_with_calls_in_flight() -> None:
    tracker = Tracker(**LOCAL, fetch=lambda topic, presences: presences).start()
    outcome: list[Any] = []

    def work(number: int) -> None:
        try:
            while True:
                with tracker.owner() as owner:
                    owner.track("t", number)
                    tracker.list("t")
                    for event in tracker.subscribe("t"):
                        break
        except BaseException as error:
            outcome.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    until_sync(lambda: tracker.stats().joins > 20)
    tracker.stop()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert len(outcome) == 6
    assert all(isinstance(error, (libpresence.TrackerClosed, StopIteration)) for error in outcome), outcome


def test_threads_end() -> None:
    before = threading.active_count()
    for _ in range(5):
        with Users() as tracker:
            tracker.track(tracker, "t", "a")
            tracker.settle()
    until_sync(lambda: threading.active_count() <= before, "the end of its threads")


def test_synced_in_time() -> None:
    with Tracker(join=["127.0.0.1:1"], connect_timeout_ms=300) as tracker:
        assert tracker.synced(timeout=DEADLINE) == "alone"
