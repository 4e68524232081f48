"""subscribe: one state, then diffs; a subscriber that is too slow gets one fresh state."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest
from observing import DEADLINE, LOCAL, Fold, by_ref, next_event, until

import libpresence
from libpresence import Presence


def test_state_then_diffs(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner = users.owner()
            async with users.subscribe("empty") as events:
                event = await next_event(events)
                assert (event.event, event.payload, event.text, event.changes) == ("presence_state", {}, "{}", [])
            ref = owner.track("t", "a", {"n": 1})
            async with users.subscribe("t") as events:
                state = await next_event(events)
                assert (state.event, state.topic, state.resync, state.fetched) == ("presence_state", "t", False, True)
                assert state.payload == {"a": {"metas": [{"n": 1, "phx_ref": ref}]}}
                assert json.loads(state.text) == state.payload
                owner.track("t", "b")
                diff = await next_event(events)
                assert diff.event == "presence_diff"
                assert set(diff.payload["joins"]) == {"b"} and diff.payload["leaves"] == {}
                assert json.loads(diff.text) == diff.payload
                assert diff.text is diff.text
                [change] = diff.changes
                assert (change.kind, change.topic, change.key, change.first, change.last) == (
                    "join", "t", "b", True, False,
                )  # fmt: skip
                assert change.member == users.members()[0].name

    run(main())


def test_update_is_one_join_and_one_leave(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users, users.subscribe("t") as events:
            await next_event(events)
            owner = users.owner()
            first = owner.track("t", "a", {"n": 1})
            await next_event(events)
            second = owner.update("t", "a", {"n": 2})
            diff = await next_event(events)
            [join] = diff.payload["joins"]["a"]["metas"]
            [leave] = diff.payload["leaves"]["a"]["metas"]
            assert join == {"n": 2, "phx_ref": second, "phx_ref_prev": first}
            assert (leave["n"], leave["phx_ref"]) == (1, first)
            [change] = diff.changes
            assert (change.kind, change.meta, change.prev_meta, change.ref, change.prev_ref, change.reason) == (
                "update", {"n": 2}, {"n": 1}, second, first, None,
            )  # fmt: skip
            assert not change.first and not change.last
            owner.untrack("t", "a")
            [gone] = (await next_event(events)).changes
            assert (gone.kind, gone.meta, gone.ref) == ("leave", {"n": 2}, second)
            assert (gone.reason, gone.last) == ("untrack", True)

    run_once(main())


def test_every_subscriber_gets_everything_once(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            folds = [Fold() for _ in range(5)]

            async def watch(fold: Fold) -> None:
                async with users.subscribe("t") as events:
                    async for event in events:
                        fold.take(event)

            owner = users.owner()
            tasks = []
            for fold in folds:
                tasks.append(asyncio.ensure_future(watch(fold)))
                for step in range(40):
                    key = f"{len(tasks)}-{step % 7}"
                    if step % 3 == 0:
                        owner.untrack("t", key)
                    elif not await users.get_by_key("t", key):
                        owner.track("t", key, {"step": step})
                    else:
                        owner.update("t", key, {"step": step})
                    await asyncio.sleep(0)
            wanted = by_ref(await users.list("t"))
            await until(lambda: all(fold.state == wanted for fold in folds))
            assert [fold.states for fold in folds] == [1] * 5

        await asyncio.wait_for(asyncio.gather(*tasks), DEADLINE)

    run(main())


def test_slow_subscriber_gets_one_fresh_state(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL, queue_bytes=16384) as users:
            await users.synced(DEADLINE)
            await users.settle()
            owner = users.owner()
            async with users.subscribe("t") as slow, users.subscribe("t") as quick:
                fold, other = Fold(), Fold()
                fold.take(await next_event(slow))
                other.take(await next_event(quick))
                owner.track("t", "a", {"n": 0})
                for step in range(400):
                    owner.update("t", "a", {"n": step, "text": "x" * 100})
                    while other.state != by_ref(await users.list("t")):
                        other.take(await next_event(quick))
                assert users.stats()["resyncs"] == 1
                event = await next_event(slow)
                assert (event.event, event.resync) == ("presence_state", True)
                fold.take(event)
                assert fold.state == by_ref(await users.list("t"))
                owner.track("t", "b")
                while fold.state != by_ref(await users.list("t")):
                    fold.take(await next_event(slow))
                assert (fold.states, fold.resyncs, other.states) == (2, 1, 1)

    run(main())


def test_too_many_events_are_a_resync_too(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL, callback_queue=10) as users, users.subscribe("t") as events:
            await users.synced(DEADLINE)
            await next_event(events)
            owner = users.owner()
            for step in range(50):
                owner.track("t", step)
                await users.settle()
            event = await next_event(events)
            assert event.resync and len(event.payload) == 50

    run_once(main())


def test_overflow_of_the_core_reaches_the_subscriber(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL, queue_bytes=16384) as users, users.subscribe("t") as events:
            await users.synced(DEADLINE)
            await users.settle()
            fold = Fold()
            fold.take(await next_event(events))
            owner = users.owner()
            for step in range(500):  # the loop does not get a turn
                owner.track("t", step, {"text": "x" * 200})
            while fold.state != by_ref(await users.list("t")):
                fold.take(await next_event(events))
            assert fold.resyncs >= 1
            assert users.stats()["resyncs"] >= 1

    run_once(main())


def test_nothing_overflows_before_the_first_sync() -> None:
    from libpresence._bound import Bound

    synced = False
    bound = Bound(100, 5, lambda: not synced)
    assert all(bound.add(50) for _ in range(20))
    synced = True
    assert bound.add(50), "what waited at the end of the sync is allowed on top"
    assert bound.add(50)
    assert not bound.add(1)
    for _ in range(20):
        bound.take(50)
    assert bound.bytes <= 101
    bound.take(50)
    bound.take(50)
    assert bound.add(50) and not bound.add(100)


def test_cancelled_wait_loses_nothing(run: Any) -> None:
    async def main() -> None:
        slow = asyncio.Event()

        async def fetch(topic: str, presences: Any) -> Any:
            await slow.wait()
            return {key: {**entry, "extra": 1} for key, entry in presences.items()}

        async with Presence(**LOCAL, fetch=fetch) as users:
            users.owner()
            owner = users.owner()
            owner.track("t", "a")
            async with users.subscribe("t") as events:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(events.__anext__(), 0.02)
                owner.track("t", "b")
                slow.set()
                state = await next_event(events)
                assert (state.event, set(state.payload), state.payload["a"]["extra"]) == ("presence_state", {"a"}, 1)
                diff = await next_event(events)
                assert set(diff.payload["joins"]) == {"b"}
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(events.__anext__(), 0.01)
                owner.track("t", "c")
                assert set((await next_event(events)).payload["joins"]) == {"c"}

    run(main())


def test_end_of_iteration(run: Any) -> None:
    async def main() -> None:
        users = await Presence(**LOCAL).start()
        events = users.subscribe("t")
        seen: list[str] = []

        async def watch() -> None:
            async with events:
                async for event in events:
                    seen.append(event.event)

        task = asyncio.ensure_future(watch())
        await until(lambda: seen)
        events.close()
        await asyncio.wait_for(task, DEADLINE)
        task = asyncio.ensure_future(_collect(users.subscribe("t"), seen))
        await until(lambda: len(seen) == 2)
        users.owner().track("t", "a")
        await users.stop()
        await asyncio.wait_for(task, DEADLINE)
        assert seen[-2:] == ["presence_state", "presence_diff"] or seen[-1] == "presence_diff"

    async def _collect(events: Any, seen: list[str]) -> None:
        async for event in events:
            seen.append(event.event)

    run(main())


def test_dropped_subscription_is_closed(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            async for _ in users.subscribe("t"):
                break
            gc.collect()
            dispatcher = users._dispatcher
            assert dispatcher is not None
            await until(lambda: not dispatcher._feeds)
            owner = users.owner()
            owner.track("t", "a")
            assert users.stats()["queue_events"] == 0, "nobody is subscribed"

    run_once(main())


def test_subscribe_again_after_the_last_left(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner = users.owner()
            for number in range(5):
                async with users.subscribe("t") as events:
                    assert len((await next_event(events)).payload) == number
                    owner.track("t", number)
                    assert set((await next_event(events)).payload["joins"]) == {str(number)}
                owner.track("other", number)

    run_once(main())


def test_diffs_that_the_state_contains_are_left_out() -> None:
    from libpresence._bound import Bound
    from libpresence._feed import Feed, StateDue
    from libpresence._native import Snapshot
    from libpresence._types import Event

    feed = Feed("t", Bound(1000, 10, lambda: False))

    def take() -> Snapshot:  # diffs come while it is taken
        for seq in (4, 5, 6):
            feed.push(Event("t", "presence_diff", seq, text=b"{}"))
        return Snapshot(b"{}", 5, 0)

    feed.take_snapshot = take
    feed.begin()
    due = feed.poll()
    assert isinstance(due, StateDue) and not due.resync
    feed.state_given(due)
    feed.push(Event("t", "presence_diff", 5, text=b"{}"))
    event = feed.poll()
    assert isinstance(event, Event) and event.seq == 6
    assert feed.poll() is None


def test_error_when_another_has_the_name_ends_iteration(run_once: Any) -> None:
    from libpresence._feed import Ended, Feed
    from libpresence._bound import Bound
    from libpresence._native import Snapshot

    feed = Feed("t", Bound(1000, 10, lambda: False))
    feed.take_snapshot = lambda: Snapshot(b"{}", 1, 0)
    feed.begin()
    feed.state_given(feed.poll())  # type: ignore[arg-type]
    feed.end(libpresence.NameConflict())
    with pytest.raises(Ended) as ended:
        feed.poll()
    assert isinstance(ended.value.error, libpresence.NameConflict)
