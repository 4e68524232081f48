"""Every kind of owner, and how its end is noticed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
from typing import Any

import pytest
from observing import LOCAL, until, until_sync

import libpresence
from libpresence import Presence, Tracker


class Connection:
    """Equal to every other, and not hashable: owners go by identity."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_owner_close(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users, users.subscribe("t") as events:
            await events.__anext__()
            owner = users.owner()
            owner.track("t", "a")
            owner.track("t", "b")
            owner.track("other", "a")
            owner.close()
            owner.close()
            assert owner.closed
            assert users.topics() == []
            leaves: list[Any] = []
            while len(leaves) < 2:
                leaves += [change for change in (await events.__anext__()).changes if change.kind == "leave"]
            assert {change.reason for change in leaves} == {"owner_closed"}
            for call in (
                lambda: owner.track("t", "c"),
                lambda: owner.update("t", "a", {}),
                lambda: owner.untrack(),
                lambda: owner.untrack("t", "a"),
                lambda: owner.touch(),
                lambda: users.update(owner, "t", "a", lambda meta: meta),
            ):
                with pytest.raises(libpresence.OwnerClosed):
                    call()

    run(main())


def test_owner_as_context(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            async with users.owner() as owner:
                owner.track("t", "a")
                assert owner.untrack() == 1
                owner.track("t", "a")
            assert users.count("t") == 0
            with pytest.raises(KeyError), users.owner() as owner:
                owner.track("t", "a")
                raise KeyError
            assert users.count("t") == 0

    run_once(main())


def test_owner_that_is_dropped(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owner = users.owner()
            owner.track("t", "a")
            del owner
            gc.collect()
            await until(lambda: users.count("t") == 0)

    run(main())


def test_lease(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users, users.subscribe("t") as events:
            await events.__anext__()
            owner = users.owner(lease=0.05)
            owner.track("t", "a")
            assert (await events.__anext__()).changes[0].kind == "join"
            [leave] = (await events.__anext__()).changes
            assert (leave.kind, leave.reason) == ("leave", "lease")
            with pytest.raises(libpresence.OwnerClosed):
                owner.touch()
            with pytest.raises(libpresence.OwnerClosed):
                owner.track("t", "b")
            owner.close()
            kept = users.owner(lease=60)
            kept.track("t", "a")
            kept.touch()
            for bad in (0, -1, "1", True, 90_000, float("nan")):
                with pytest.raises(libpresence.InvalidArgument):
                    users.owner(lease=bad)  # type: ignore[arg-type]

    run_once(main())


def test_task_as_owner(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            go = asyncio.Event()

            async def connection() -> None:
                task = asyncio.current_task()
                users.track(task, "t", "a")
                users.track(task, "t", "b")
                await go.wait()

            task = asyncio.ensure_future(connection())
            await until(lambda: users.count("t") == 2)
            go.set()
            await task
            await until(lambda: users.count("t") == 0)
            with pytest.raises(libpresence.OwnerClosed):
                users.track(task, "t", "a")
            with pytest.raises(libpresence.OwnerClosed):
                users.untrack(task)
            never = asyncio.ensure_future(asyncio.sleep(0))
            await never
            with pytest.raises(libpresence.OwnerClosed):
                users.track(never, "t", "a")

    run(main())


def test_cancelled_and_failed_tasks_leave(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:

            async def fail() -> None:
                users.track(asyncio.current_task(), "t", "failed")
                raise KeyError

            async def wait() -> None:
                users.track(asyncio.current_task(), "t", "cancelled")
                await asyncio.Event().wait()

            tasks = [asyncio.ensure_future(fail()), asyncio.ensure_future(wait())]
            await until(lambda: users.count("t", metas=True) >= 1)
            await asyncio.wait(tasks[:1])
            tasks[1].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: users.count("t") == 0)

    run_once(main())


def test_futures_as_owners(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            future = asyncio.get_running_loop().create_future()
            users.track(future, "t", "a")
            other: concurrent.futures.Future[None] = concurrent.futures.Future()
            users.track(other, "t", "b")
            future.set_result(None)
            await until(lambda: users.count("t") == 1)
            other.set_result(None)
            await until(lambda: users.count("t") == 0)

    run(main())


def test_task_of_this_loop_from_another_thread(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            go = asyncio.Event()
            task = asyncio.ensure_future(go.wait())
            await asyncio.to_thread(users.track, task, "t", "a")
            assert users.count("t") == 1
            go.set()
            await until(lambda: users.count("t") == 0)

    run(main())


def test_objects_leave_when_collected(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            first, second = Connection(), Connection()
            users.track(first, "t", "a", {"n": 1})
            users.track(second, "t", "a", {"n": 2})
            assert users.count("t", metas=True) == 2
            with pytest.raises(libpresence.AlreadyTracked):
                users.track(first, "t", "a")
            del first
            gc.collect()
            await until(lambda: users.count("t", metas=True) == 1)
            assert (await users.list("t"))["a"]["metas"][0]["n"] == 2
            assert users.untrack(second) == 1

    run(main())


def test_objects_in_cycles_leave(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            connection = Connection()
            connection.me = connection  # type: ignore[attr-defined]
            users.track(connection, "t", "a")
            del connection
            gc.collect()
            await until(lambda: users.count("t") == 0)

    run_once(main())


def test_many_objects_with_ids_used_again(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            kept = []
            for number in range(500):
                connection = Connection()
                users.track(connection, "t", number)
                if number % 50 == 0:
                    kept.append(connection)
                del connection
            await until(lambda: users.count("t") == len(kept))
            assert set(await users.list("t")) == {str(number) for number in range(0, 500, 50)}
            assert len(users._owners or ()) == len(kept)

    run_once(main())


@pytest.mark.parametrize("owner", [None, 1, "text", b"x", 1.5, (), [], {}, object()], ids=repr)
def test_what_cannot_own(owner: Any) -> None:
    with Tracker(**LOCAL) as tracker:
        for call in (
            lambda: tracker.track(owner, "t", "k"),
            lambda: tracker.update(owner, "t", "k", {}),
            lambda: tracker.untrack(owner),
            lambda: tracker.untrack(owner, "t", "k"),
            lambda: tracker.track_many(owner, []),
        ):
            with pytest.raises(libpresence.InvalidOwner, match="weakly referenced"):
                call()


def test_owner_of_another_tracker() -> None:
    with Tracker(**LOCAL) as one, Tracker(**LOCAL) as other, one.owner() as owner:
        with pytest.raises(libpresence.InvalidOwner, match="another tracker"):
            other.track(owner, "t", "k")


def test_object_that_owns_nothing() -> None:
    with Tracker(**LOCAL) as tracker:
        stranger = Connection()
        assert tracker.untrack(stranger) == 0
        assert tracker.untrack(stranger, "t", "k") == 0
        with pytest.raises(libpresence.NotTracked):
            tracker.update(stranger, "t", "k", {})


def test_objects_of_a_tracker_from_many_threads() -> None:
    with Tracker(**LOCAL) as tracker:
        shared = Connection()

        def work(number: int) -> None:
            own = Connection()
            tracker.track(shared, "shared", number)
            for step in range(50):
                tracker.track(own, "own", f"{number}-{step}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert tracker.count("shared") == 8
        until_sync(lambda: tracker.count("own") == 0)
        assert tracker.untrack(shared) == 8


def test_presences_outlive_untrack_of_others() -> None:
    with Tracker(**LOCAL) as tracker, tracker.owner() as a, tracker.owner() as b:
        tracker.track(a, "t", "k", {"of": "a"})
        tracker.track(b, "t", "k", {"of": "b"})
        assert tracker.untrack(a, "t", "k") == 1
        assert [entry.meta for entry in tracker.entries("t")] == [{"of": "b"}]
