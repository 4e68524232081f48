"""The calls that change and read, on one member."""

from __future__ import annotations

import asyncio
import threading
import uuid
from typing import Any

import pytest
from observing import LOCAL, until

import libpresence
from libpresence import Presence


async def open_presence(**options: Any) -> Presence:
    return await Presence(**{**LOCAL, **options}).start()


def test_track_list_update_untrack(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            with users.owner() as owner:
                ref = users.track(owner, "room:1", "u1", {"status": "online"})
                assert await users.list("room:1") == {"u1": {"metas": [{"status": "online", "phx_ref": ref}]}}
                second = users.update(owner, "room:1", "u1", {"status": "away"})
                assert second != ref
                shown = await users.list("room:1")
                assert shown["u1"]["metas"][0]["status"] == "away"
                assert shown["u1"]["metas"][0]["phx_ref"] == second
                assert await users.get_by_key("room:1", "u1") == shown["u1"]
                assert await users.get_by_key("room:1", "nobody") is None
                assert users.untrack(owner, "room:1", "u1") == 1
                assert users.untrack(owner, "room:1", "u1") == 0
                assert await users.list("room:1") == {}

    run(main())


def test_prev_ref_is_the_version_that_was_shown(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users, users.subscribe("t") as events:
            owner = users.owner()
            first = owner.track("t", "k", {"n": 1})
            second = owner.update("t", "k", {"n": 2})
            assert (await users.list("t"))["k"]["metas"] == [{"n": 2, "phx_ref": second, "phx_ref_prev": first}]
            assert (await events.__anext__()).payload == {}

    run(main())


def test_same_text_changes_nothing(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner = users.owner()
            ref = owner.track("t", "k", {"a": 1})
            assert owner.update("t", "k", {"a": 1}) == ref
            shown = (await users.list("t"))["k"]["metas"][0]
            assert owner.update("t", "k", shown) == ref, "what list returned may be given back"

    run_once(main())


def test_keys_are_text(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner, id = users.owner(), uuid.uuid4()
            owner.track("t", 1)
            with pytest.raises(libpresence.AlreadyTracked):
                owner.track("t", "1")
            owner.track("t", id)
            assert set(await users.list("t")) == {"1", str(id)}
            assert await users.get_by_key("t", 1) is not None
            assert owner.update("t", 1, {"a": 1})
            assert owner.untrack("t", id) == 1

    run_once(main())


class Room:
    topic = "room:object"


def test_topic_objects(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner = users.owner()
            users.track(owner, Room(), "k")
            assert users.count(Room()) == users.count("room:object") == 1
            assert users.topics() == ["room:object"]
            assert set(await users.list(Room())) == {"k"}
            async with users.subscribe(Room()) as events:
                assert (await events.__anext__()).topic == "room:object"

    run_once(main())


def test_count_metas_topics_members_stats(run_once: Any) -> None:
    async def main() -> None:
        async with await open_presence(name="one") as users:
            a, b = users.owner(), users.owner()
            for owner in (a, b):
                users.track(owner, "t", "k")
            users.track(a, "t", "other")
            assert users.count("t") == 2
            assert users.count("t", metas=True) == 3
            assert users.count("nothing") == 0
            [me] = users.members()
            assert (me.name, me.is_self, me.status, me.entries) == ("one", True, "up", 3)
            assert len(me.id) == 16 and int(me.id, 16)
            assert me.rtt_ms is None or me.rtt_ms >= 0
            stats = users.stats()
            assert stats["entries"] == stats.entries == 3
            assert stats["resyncs"] == 0
            assert stats.joins == 3

    run_once(main())


def test_update_with_a_function(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner = users.owner()
            first = owner.track("t", "k", {"n": 1})
            given: list[Any] = []

            def add(meta: dict[str, Any]) -> dict[str, Any]:
                given.append(dict(meta))
                meta["n"] += 1
                return meta

            second = users.update(owner, "t", "k", add)
            assert given == [{"n": 1}], "the function gets the meta without refs"
            assert (await users.list("t"))["k"]["metas"][0]["n"] == 2
            with pytest.raises(libpresence.StaleRef):
                users.update(owner, "t", "k", add, if_ref=first)
            users.update(owner, "t", "k", add, if_ref=second)
            with pytest.raises(ZeroDivisionError):
                users.update(owner, "t", "k", lambda meta: 1 // 0)
            with pytest.raises(libpresence.InvalidMeta):
                users.update(owner, "t", "k", lambda meta: None)

            async def later(meta: dict[str, Any]) -> dict[str, Any]:
                return meta

            with pytest.raises(libpresence.InvalidMeta):
                users.update(owner, "t", "k", later)
            assert (await users.list("t"))["k"]["metas"][0]["n"] == 3
            with pytest.raises(libpresence.NotTracked):
                users.update(owner, "t", "nobody", add)

    run_once(main())


def test_update_with_a_function_retries(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner = users.owner()
            owner.track("t", "k", {"n": 0})
            calls = 0

            def add(meta: dict[str, Any]) -> dict[str, Any]:
                nonlocal calls
                calls += 1
                if calls == 1:
                    owner.update("t", "k", {"n": 10})
                return {"n": meta["n"] + 1}

            owner.update("t", "k", add)
            assert calls == 2
            assert (await users.list("t"))["k"]["metas"][0]["n"] == 11

    run_once(main())


def test_update_if_ref(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner = users.owner()
            ref = owner.track("t", "k")
            owner.update("t", "k", {"a": 1}, if_ref=ref)
            with pytest.raises(libpresence.StaleRef):
                owner.update("t", "k", {"a": 2}, if_ref=ref)
            for bad in ("", 1, b"x", "\ud800"):
                with pytest.raises(libpresence.InvalidArgument):
                    owner.update("t", "k", {}, if_ref=bad)

    run_once(main())


def test_track_many(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner = users.owner()
            refs = users.track_many(owner, [("room:1", "u2", {}), ("room:2", "u2", {"a": "ü"}), ("room:3", 3)])
            assert len(set(refs)) == 3
            assert (await users.list("room:2"))["u2"]["metas"] == [{"a": "ü", "phx_ref": refs[1]}]
            assert users.track_many(owner, []) == []
            cases: list[tuple[Any, type[Exception]]] = [
                (("new", "k", {"a": float("nan")}), libpresence.InvalidMeta),
                (("room:1", "u2", {}), libpresence.AlreadyTracked),
                (("", "k", {}), libpresence.InvalidTopic),
                (("t", True, {}), libpresence.InvalidKey),
                (("t", "k", {"a": "x" * 9000}), libpresence.LimitExceeded),
                ("text", libpresence.InvalidArgument),
                (("t",), libpresence.InvalidArgument),
            ]
            for item, kind in cases:
                with pytest.raises(kind) as caught:
                    users.track_many(owner, [("new", "a", {}), ("new", "b", {}), item])
                assert kind is libpresence.InvalidArgument or caught.value.index == 2  # type: ignore[attr-defined]
                assert users.count("new") == 0, "all or nothing"

    run_once(main())


def test_track_as(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            async with users.track_as("t", "k", {"status": "online"}) as entry:
                first = entry.ref
                assert users.count("t") == 1
                assert entry.update({"status": "away"}) == entry.ref != first
                entry.update(lambda meta: {**meta, "since": 1})
                assert (await users.list("t"))["k"]["metas"][0]["since"] == 1
            assert users.count("t") == 0
            with pytest.raises(libpresence.OwnerClosed):
                entry.update({})
            with pytest.raises(ValueError):
                _ = users.track_as("t", "k").ref
            with pytest.raises(KeyError):
                async with users.track_as("t", "k"):
                    raise KeyError
            assert users.count("t") == 0
            with pytest.raises(libpresence.InvalidMeta):
                async with users.track_as("t", "k", {"a": b"x"}):
                    pass

    run(main())


def test_threads_change_at_the_same_time(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            failures: list[BaseException] = []

            def work(number: int) -> None:
                try:
                    with users.owner() as owner:
                        for step in range(200):
                            users.track(owner, f"t{step % 5}", f"{number}-{step}", {"step": step})
                            users.count("t0"), users.topics(), users.members(), users.stats()
                        owner.update("t0", f"{number}-0", lambda meta: {**meta, "done": True})
                        assert owner.untrack() == 200
                        owner.track("left", number)
                        kept.append(owner)
                        barrier.wait()
                except BaseException as error:
                    failures.append(error)

            kept: list[Any] = []
            barrier = threading.Barrier(5)
            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            await until(lambda: users.count("left") == 4 or failures)
            barrier.wait()
            for thread in threads:
                await asyncio.to_thread(thread.join)
            assert not failures
            assert users.topics() == []

    run(main())


def test_member_name_is_new_for_every_start(run_once: Any) -> None:
    async def main() -> None:
        names = set()
        for _ in range(2):
            async with Presence(**LOCAL) as users:
                names.add(users.members()[0].name)
        assert len(names) == 2

    run_once(main())
