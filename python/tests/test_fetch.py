"""fetch: once per side of a diff and shared, once per list, in slices, bounded, harmless when wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from observing import DEADLINE, LOCAL, next_event, until

import libpresence
from libpresence import Presence


class Users(Presence):
    """Adds {"user": <key>}; notes every call."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**LOCAL, **options})
        self.asked: list[tuple[str, list[str]]] = []
        self.diffs: list[Any] = []
        self.metas: list[Any] = []

    async def fetch(self, topic: str, presences: Any) -> Any:
        self.asked.append((topic, sorted(presences)))
        await asyncio.sleep(0)
        return {key: {**entry, "user": key.upper()} for key, entry in presences.items()}


class Handlers(Users):
    async def handle_diff(self, diff: Any) -> None:
        self.diffs.append(diff)

    async def handle_metas(self, topic: str, diff: Any, presences: Any) -> None:
        self.metas.append((topic, diff, presences))


def test_one_call_per_side_shared_by_all(run: Any) -> None:
    async def main() -> None:
        async with Handlers() as users:
            owner = users.owner()
            async with users.subscribe("t") as one, users.subscribe("t") as two:
                assert (await next_event(one)).payload == (await next_event(two)).payload == {}
                assert users.asked == [], "nothing to fetch"
                owner.track("t", "a", {"n": 1})
                await users.settle()
                assert users.asked == [("t", ["a"])]
                first, second = await next_event(one), await next_event(two)
                assert first.payload is second.payload
                assert first.payload["joins"]["a"]["user"] == "A"
                assert first.fetched and json.loads(first.text) == first.payload
                assert users.diffs == [{"t": first.payload}]
                assert users.diffs[0].changes[0].key == "a"
                [(topic, diff, presences)] = users.metas
                assert (topic, diff) == ("t", first.payload)
                assert presences == {"a": {"metas": first.payload["joins"]["a"]["metas"], "user": "A"}}
                owner.update("t", "a", {"n": 2})
                await users.settle()
                assert len(users.asked) == 3, "one call per side"
                owner.untrack("t", "a")
                await users.settle()
                assert users.asked[3:] == [("t", ["a"])]
                assert users.diffs[-1]["t"]["leaves"]["a"]["user"] == "A"
                assert users.metas[-1][2] == {}

    run(main())


def test_nobody_asks_no_fetch(run_once: Any) -> None:
    async def main() -> None:
        async with Users() as users:
            owner = users.owner()
            owner.track("t", "a")
            async with users.subscribe("other"):
                owner.track("t", "b")
                await users.settle()
            assert users.asked == []
            assert users.count("t") == 2
            assert users.asked == []

    run_once(main())


def test_list_and_get_by_key(run: Any) -> None:
    async def main() -> None:
        async with Users() as users:
            assert await users.list("t") == {}
            assert await users.get_by_key("t", "a") is None
            assert users.asked == []
            owner = users.owner()
            users.track_many(owner, [("t", "a"), ("t", "b")])
            assert {key: entry["user"] for key, entry in (await users.list("t")).items()} == {"a": "A", "b": "B"}
            assert users.asked == [("t", ["a", "b"])]
            found = await users.get_by_key("t", "b")
            assert found is not None and found["user"] == "B" and len(found["metas"]) == 1
            assert users.asked[1:] == [("t", ["b"])]

    run(main())


def test_lists_at_the_same_time_share(run_once: Any) -> None:
    async def main() -> None:
        async with Users() as users:
            owner = users.owner()
            users.track(owner, "t", "a")
            users.track(owner, "other", "a")
            results = await asyncio.gather(*(users.list("t") for _ in range(10)), users.list("other"))
            assert sorted(users.asked) == [("other", ["a"]), ("t", ["a"])]
            results[0]["a"]["metas"].clear()
            assert len(results[1]["a"]["metas"]) == 1, "what one caller changes is not what another got"
            first = asyncio.ensure_future(users.list("t"))
            await asyncio.sleep(0)
            users.track(owner, "t", "b")
            second = asyncio.ensure_future(users.list("t"))
            assert set(await first) == {"a"}
            found = {key: entry["user"] for key, entry in (await second).items()}
            assert found == {"a": "A", "b": "B"}, "a new version"
            cancelled = asyncio.ensure_future(users.list("t"))
            kept = asyncio.ensure_future(users.list("t"))
            await asyncio.sleep(0)
            cancelled.cancel()
            assert set(await kept) == {"a", "b"}

    run_once(main())


def test_states_in_slices(run_once: Any) -> None:
    async def main() -> None:
        async with Users(fetch_batch=10) as users:
            owner = users.owner()
            users.track_many(owner, [("t", key) for key in range(35)])
            state = await users.list("t")
            assert [len(keys) for _, keys in users.asked] == [10, 10, 10, 5]
            assert all(entry["user"] == key for key, entry in state.items())
            users.asked.clear()
            async with users.subscribe("t") as events:
                event = await next_event(events)
                assert len(users.asked) == 4 and event.fetched and len(event.payload) == 35

    run_once(main())


class Broken(Mapping):  # type: ignore[type-arg]
    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Any:
        raise ZeroDivisionError

    def __len__(self) -> int:
        return 1


def _raise(error: BaseException) -> Any:
    raise error


NONSENSE: list[Any] = [
    lambda topic, presences: _raise(ValueError("broken")),
    lambda topic, presences: _raise(asyncio.CancelledError()),
    lambda topic, presences: _raise(StopIteration()),
    lambda topic, presences: None,
    lambda topic, presences: [1],
    lambda topic, presences: "text",
    lambda topic, presences: Broken(),
]


@pytest.mark.parametrize("fetch", NONSENSE, ids=range(len(NONSENSE)))
def test_wrong_fetch_is_logged_and_left_out(run: Any, fetch: Any, errors: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL, fetch=fetch) as users, users.subscribe("t") as events:
            state = await next_event(events)
            assert state.fetched, "an empty state needs no fetch"
            owner = users.owner()
            ref = owner.track("t", "a")
            diff = await next_event(events)
            assert not diff.fetched
            assert diff.payload["joins"] == {"a": {"metas": [{"phx_ref": ref}]}}
            [line] = [line for line in errors() if "fetch" in line]
            assert "'t'" in line
            assert set(await users.list("t")) == {"a"}
            async with users.subscribe("t") as more:
                state = await next_event(more)
                assert not state.fetched and set(state.payload) == {"a"}
                assert json.loads(state.text) == state.payload

    run(main())


def test_odd_results_keep_what_they_can(run_once: Any) -> None:
    async def fetch(topic: str, presences: Any) -> Any:
        for entry in presences.values():
            entry["metas"].clear()
        return {"a": {"user": 1, "metas": "mine"}, "b": None, "unasked": {"user": 2}, 5: {}}

    async def main() -> None:
        async with Presence(**LOCAL, fetch=fetch) as users, users.subscribe("t") as events:
            await next_event(events)
            owner = users.owner()
            users.track_many(owner, [("t", "a"), ("t", "b"), ("t", "c")])
            diff = await next_event(events)
            joins = dict(diff.payload["joins"])
            while len(joins) < 3:
                joins.update((await next_event(events)).payload["joins"])
            assert set(joins) == {"a", "b", "c"}
            assert joins["a"]["user"] == 1
            assert all(len(entry["metas"]) == 1 for entry in joins.values())
            assert set(joins["b"]) == {"metas"}
            shown = await users.list("t")
            assert shown["a"]["user"] == 1 and len(shown["a"]["metas"]) == 1
            assert diff.fetched

    run_once(main())


def test_fetch_that_hangs(run: Any, errors: Any) -> None:
    async def main() -> None:
        cancelled = []

        async def fetch(topic: str, presences: Any) -> Any:
            if topic == "hangs":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled.append(topic)
                    raise
            return {key: {**entry, "ok": True} for key, entry in presences.items()}

        async with Presence(**LOCAL, fetch=fetch, fetch_timeout_ms=150) as users:
            async with users.subscribe("hangs") as bad, users.subscribe("fine") as good:
                await next_event(bad), await next_event(good)
                owner = users.owner()
                owner.track("hangs", "a")
                owner.track("fine", "a")
                first = await next_event(good)
                assert first.payload["joins"]["a"]["ok"], "other topics do not wait"
                assert cancelled == []
                late = await next_event(bad)
                assert not late.fetched and set(late.payload["joins"]) == {"a"}
                assert cancelled == ["hangs"]
                assert any("took longer" in line and "hangs" in line for line in errors())

    run(main())


def test_stop_cancels_fetch(run: Any) -> None:
    async def main() -> None:
        cancelled = asyncio.Event()

        async def fetch(topic: str, presences: Any) -> Any:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        users = await Presence(**LOCAL, fetch=fetch).start()
        async with users.subscribe("t"):
            users.track(users, "t", "a")
            waiting = asyncio.ensure_future(users.list("t"))
            await until(lambda: users._dispatcher is not None and users._dispatcher._flows)
            await users.stop()
            await asyncio.wait_for(cancelled.wait(), DEADLINE)
            with pytest.raises(libpresence.TrackerClosed):
                await waiting

    run(main())


def test_order_per_topic_and_bound_on_topics(run_once: Any) -> None:
    async def main() -> None:
        running, most = 0, 0
        order: dict[str, list[int]] = {}
        release = asyncio.Event()

        async def fetch(topic: str, presences: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == 3:
                release.set()
            await asyncio.wait_for(release.wait(), DEADLINE)
            await asyncio.sleep(0)
            running -= 1
            return presences

        async def handle_diff(diff: Any) -> None:
            for topic, one in diff.items():
                order.setdefault(topic, []).extend(change.meta["n"] for change in one.changes)

        async with Presence(**LOCAL, fetch=fetch, handle_diff=handle_diff, fetch_concurrency=3) as users:
            owner = users.owner()
            for step in range(5):
                for topic in "abcdefgh":
                    users.track(owner, topic, step, {"n": step})
            await users.settle()
            assert most == 3
            assert order == {topic: list(range(5)) for topic in "abcdefgh"}

    run_once(main())


def test_fetch_that_is_not_asynchronous(run_once: Any) -> None:
    async def main() -> None:
        def fetch(topic: str, presences: Any) -> Any:
            return {key: {**entry, "user": topic} for key, entry in presences.items()}

        async with Presence(**LOCAL, fetch=fetch) as users:
            users.track(users, "t", "a")
            assert (await users.list("t"))["a"]["user"] == "t"

    run_once(main())


def test_diffs_that_pile_up_behind_a_fetch_become_a_state(run_once: Any) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def fetch(topic: str, presences: Any) -> Any:
            if topic == "t":
                await go.wait()
            return presences

        async with Presence(**LOCAL, fetch=fetch, callback_queue=10) as users:
            await users.synced(DEADLINE)
            async with users.subscribe("t") as events, users.subscribe("other") as others:
                await next_event(events), await next_event(others)
                owner = users.owner()
                for step in range(50):
                    owner.track("t", step)
                    await asyncio.sleep(0)
                owner.track("other", "a")
                assert set((await next_event(others)).payload["joins"]) == {"a"}
                go.set()
                seen: set[str] = set()
                resyncs = 0
                while len(seen) < 50:
                    event = await next_event(events)
                    resyncs += event.resync
                    seen = set(event.payload) if event.event == "presence_state" else seen | set(event.payload["joins"])
                assert resyncs == 1

    run_once(main())
