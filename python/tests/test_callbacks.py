"""handle_diff, handle_metas, handle_member, handle_resync: in order, one at a time, harmless when they fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from observing import DEADLINE, LOCAL, Fold, by_ref, next_event, until

import libpresence
from libpresence import Presence


def test_diff_then_metas(run: Any) -> None:
    async def main() -> None:
        calls: list[Any] = []

        class Users(Presence):
            async def handle_diff(self, diff: Any) -> None:
                calls.append(("diff", diff))

            async def handle_metas(self, topic: str, diff: Any, presences: Any) -> None:
                calls.append(("metas", topic, diff, presences))
                assert isinstance(self, Users)

        async with Users(**LOCAL) as users:
            owner = users.owner()
            first = owner.track("t", "a", {"n": 1})
            second = owner.update("t", "a", {"n": 2})
            owner.track("t", "b")
            owner.untrack("t", "a")
            await users.settle()
            assert [call[0] for call in calls] == ["diff", "metas"] * 4
            assert calls[0][1] == {"t": {"joins": {"a": {"metas": [{"n": 1, "phx_ref": first}]}}, "leaves": {}}}
            assert calls[1][1:] == ("t", calls[0][1]["t"], {"a": {"metas": [{"n": 1, "phx_ref": first}]}})
            assert calls[3][3] == {"a": {"metas": [{"n": 2, "phx_ref": second, "phx_ref_prev": first}]}}
            assert set(calls[5][3]) == {"a", "b"}
            assert set(calls[7][3]) == {"b"}
            assert calls[1][3] != calls[3][3], "a state that was given does not change"

    run(main())


def test_metas_equal_list_after_every_diff(run_once: Any) -> None:
    async def main() -> None:
        shown: dict[str, Any] = {}
        fold: dict[str, Fold] = {}

        async def handle_metas(topic: str, diff: Any, presences: Any) -> None:
            fold.setdefault(topic, Fold()).diff(diff)
            assert by_ref(presences) == fold[topic].state
            shown[topic] = presences

        async with Presence(**LOCAL, handle_metas=handle_metas) as users:
            owners = [users.owner() for _ in range(4)]
            for step in range(300):
                owner, topic, key = owners[step % 4], f"t{step % 3}", step % 5
                try:
                    owner.track(topic, key, {"step": step})
                except libpresence.AlreadyTracked:
                    if step % 7 == 0:
                        owner.untrack(topic, key)
                    else:
                        owner.update(topic, key, {"step": step})
                if step % 20 == 0:
                    await asyncio.sleep(0)
            await users.settle()
            for topic in users.topics():
                assert shown[topic] == await users.list(topic)

    run_once(main())


def test_one_at_a_time(run_once: Any) -> None:
    async def main() -> None:
        running = 0
        counts: list[int] = []

        async def hook(*args: Any) -> None:
            nonlocal running
            assert running == 0
            running += 1
            counts.append(len(args))
            await asyncio.sleep(0)
            running -= 1

        async with Presence(**LOCAL, handle_diff=hook, handle_metas=hook, handle_member=hook) as users:
            owner = users.owner()
            for step in range(30):
                owner.track(f"t{step % 3}", step)
                await asyncio.sleep(0)
            await users.settle()
            assert counts.count(3) == 30

    run_once(main())


def test_plain_functions(run_once: Any) -> None:
    async def main() -> None:
        seen: list[Any] = []
        async with Presence(**LOCAL, handle_diff=seen.append) as users:
            users.track(users, "t", "a")
            await users.settle()
            assert [set(diff["t"]["joins"]) for diff in seen] == [{"a"}]

    run_once(main())


@pytest.mark.parametrize("error", [ValueError("broken"), asyncio.CancelledError(), StopIteration()], ids=repr)
def test_failing_callbacks(run: Any, error: BaseException, errors: Any) -> None:
    async def main() -> None:
        calls: list[str] = []

        async def handle_diff(diff: Any) -> None:
            calls.append("diff")
            raise error

        async def handle_metas(topic: str, diff: Any, presences: Any) -> None:
            calls.append("metas")
            if len(calls) == 2:
                raise error

        async with Presence(**LOCAL, handle_diff=handle_diff, handle_metas=handle_metas) as users:
            async with users.subscribe("room") as events:
                await next_event(events)
                owner = users.owner()
                owner.track("room", "a")
                owner.track("room", "b")
                assert {*(await next_event(events)).payload["joins"], *(await next_event(events)).payload["joins"]} == {
                    "a",
                    "b",
                }
                await users.settle()
                assert calls == ["diff", "metas", "diff", "metas"]
                lines = errors()
                assert len(lines) == 3, "once per failure"
                assert sum("handle_diff" in line and "room" in line for line in lines) == 2

    run(main())


def test_callback_that_hangs_holds_up_nobody_else(run: Any) -> None:
    async def main() -> None:
        stuck = asyncio.Event()
        cancelled = asyncio.Event()

        async def handle_diff(diff: Any) -> None:
            stuck.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async with Presence(**LOCAL, handle_diff=handle_diff) as users, users.subscribe("t") as events:
            await next_event(events)
            owner = users.owner()
            owner.track("t", "a")
            await asyncio.wait_for(stuck.wait(), DEADLINE)
            owner.track("t", "b")
            await next_event(events)
            assert set((await next_event(events)).payload["joins"]) == {"b"}
        assert cancelled.is_set()

    run(main())


def test_callbacks_may_call_everything(run: Any) -> None:
    async def main() -> None:
        done: list[Any] = []

        class Users(Presence):
            async def fetch(self, topic: str, presences: Any) -> Any:
                self.count(topic), self.members()
                if topic == "t":
                    await self.settle()
                return presences

            async def handle_diff(self, diff: Any) -> None:
                if "t" in diff:
                    await self.settle()
                    with self.owner() as owner:
                        owner.track("inner", "x")
                        done.append(set(await self.list("inner")))
                        async with self.subscribe("inner") as events:
                            done.append((await events.__anext__()).event)
                    await self.synced()
                    await self.get_by_key("t", "a")
                    await self.stop()
                    done.append("stopped")

        async with Users(**LOCAL) as users:
            users.track(users, "t", "a")
            await until(lambda: users._core is not None and users._core.stopped)
        await until(lambda: len(done) > 2)
        assert done == [{"x"}, "presence_state", "stopped"]

    run(main())


def test_slow_callbacks_get_the_difference(run: Any) -> None:
    async def main() -> None:
        go = asyncio.Event()
        fold = Fold()
        states: list[Any] = []

        class Users(Presence):
            async def handle_diff(self, diff: Any) -> None:
                await go.wait()
                fold.diff(diff["t"])
                assert by_ref(sides(diff.changes)) == by_ref(diff["t"]["joins"])

            async def handle_metas(self, topic: str, diff: Any, presences: Any) -> None:
                assert by_ref(presences) == fold.state
                states.append(presences)

        async with Users(**LOCAL, callback_queue=10) as users:
            await users.synced(DEADLINE)
            await users.settle()
            owner = users.owner()
            for step in range(20):
                owner.track("t", step, {"n": 0})
            await asyncio.sleep(0)
            for step in range(100):
                owner.update("t", step % 20, {"n": step})
                if step % 3 == 0:
                    owner.untrack("t", step % 20)
                    owner.track("t", step % 20, {"again": step})
                await asyncio.sleep(0)
            go.set()
            await users.settle()
            assert fold.state == by_ref(await users.list("t"))
            assert states[-1] == await users.list("t")
            assert len(states) < 40, "the difference, not every diff"
            assert users.stats()["resyncs"] >= 1

    def sides(changes: list[Any]) -> dict[str, Any]:
        joins: dict[str, Any] = {}
        for change in changes:
            if change.kind != "leave":
                meta = {**change.meta, "phx_ref": change.ref}
                joins.setdefault(change.key, {"metas": []})["metas"].append(meta)
        return joins

    run(main())


def test_handle_resync(run_once: Any) -> None:
    async def main() -> None:
        go, entered = asyncio.Event(), asyncio.Event()
        calls: list[Any] = []

        class Users(Presence):
            async def fetch(self, topic: str, presences: Any) -> Any:
                return {key: {**entry, "extra": True} for key, entry in presences.items()}

            async def handle_diff(self, diff: Any) -> None:
                entered.set()
                await go.wait()
                calls.append(("diff", diff))

            async def handle_resync(self, topic: str, presences: Any) -> None:
                calls.append(("resync", topic, presences))

        async with Users(**LOCAL, callback_queue=5) as users:
            await users.synced(DEADLINE)
            owner = users.owner()
            owner.track("t", "first")
            await asyncio.wait_for(entered.wait(), DEADLINE)
            for step in range(50):
                owner.track("t", step)
                await asyncio.sleep(0)
            go.set()
            await users.settle()
            assert calls[-1] == ("resync", "t", await users.list("t"))
            assert calls[-1][2]["7"]["extra"] is True
            assert [call[0] for call in calls] == ["diff", "resync"]
            owner.track("t", "after")
            await users.settle()
            assert set(calls[-1][1]["t"]["joins"]) == {"after"}

    run_once(main())


def test_what_is_there_at_the_start_is_told(run_once: Any) -> None:
    from libpresence._callbacks import Callbacks
    from libpresence._backlog import Backlog
    from libpresence._bound import Bound
    from libpresence._types import Event

    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner = users.owner()
            users.track_many(owner, [("a", 1), ("b", 2), ("b", 3)])
            told: list[Any] = []
            core = users._core
            assert core is not None

            async def call(hook: Any, *args: Any) -> Any:
                return hook(*args)

            bound = Bound(1 << 20, 1000, lambda: False)
            callbacks = Callbacks(core, {"handle_diff": told.append}, call, None, Backlog(bound))
            callbacks.begin(core.topics())
            await until(lambda: callbacks.task is None)
            assert sorted((topic, sorted(one["joins"])) for diff in told for topic, one in diff.items()) == [
                ("a", ["1"]),
                ("b", ["2", "3"]),
            ]
            assert [change.first for diff in told for change in diff.changes] == [True] * 3
            callbacks.push(Event("a", "presence_diff", 0, text=b'{"joins":{},"leaves":{}}', rows=b"[]"))
            await until(lambda: callbacks.task is None)
            assert len(told) == 2, "a diff that is older than the state it was told with"

    run_once(main())


def test_instance_attributes_are_hooks_too(run_once: Any) -> None:
    async def main() -> None:
        seen: list[Any] = []
        users = Presence(**LOCAL)
        users.handle_diff = seen.append  # type: ignore[assignment]
        async with users:
            users.track(users, "t", "a")
            await users.settle()
        assert len(seen) == 1

    run_once(main())
