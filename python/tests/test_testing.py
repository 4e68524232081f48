"""libpresence.testing: clusters in virtual time, of either class, with every fault and every error."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from conftest import Run
from observing import Fold, by_ref

from libpresence import (
    AddressInUse,
    InvalidArgument,
    InvalidOption,
    Presence,
    PresenceTimeout,
    Tracker,
    TrackerClosed,
    WrongState,
)
from libpresence.testing import AsyncCluster, Cluster, SettleTimeout


def names(tracker: Any, status: str = "up") -> set[str]:
    return {member.name for member in tracker.members() if member.status == status}


def test_members_agree_after_settle() -> None:
    with Cluster(seed=1) as cluster:
        a, b, c = (cluster.start(name) for name in "abc")
        assert isinstance(a, Tracker) and cluster.members == [a, b, c]
        a.track(a, "room", "u1", {"n": 1})
        assert a.count("room") == 1 and b.count("room") == 0 and cluster.now == 0
        cluster.settle()
        assert by_ref(b.list("room")) == by_ref(a.list("room")) == by_ref(c.list("room")) != {}
        assert names(a) == names(c) == {"a", "b", "c"} and 0 < cluster.now < 1


def test_time_is_virtual() -> None:
    start = time.monotonic()
    with Cluster(seed=2) as cluster:
        a, b = cluster.start("a"), cluster.start("b", permdown_ms=60_000)
        owner = a.owner(lease=3600)
        a.track(owner, "room", "u1")
        cluster.run(3599)
        assert b.count("room") == 1
        owner.touch()
        cluster.run(3599)
        assert b.count("room") == 1
        cluster.run(2)
        assert b.count("room") == 0 and cluster.now == 7200
    assert time.monotonic() - start < 7200  # two hours took less


def test_synced_moves_time() -> None:
    with Cluster(seed=3) as cluster:
        a = cluster.start("a")
        assert a.synced(5) == "alone" and cluster.now == 0
        b = cluster.start("b")
        assert not b.is_synced and b.synced() == "synced" and cluster.now > 0
        cluster.pause(a)
        c = cluster.start("c", join=[a.address])
        with pytest.raises(PresenceTimeout, match="0.5 s of virtual time"):
            c.synced(0.5)


def test_partition_and_heal() -> None:
    with Cluster(seed=4) as cluster:
        a, b, c = members = [cluster.start(name) for name in "abc"]
        owners = [member.owner() for member in members]
        for member, owner in zip(members, owners, strict=True):
            member.track(owner, "room", member._options.text("name"))
        cluster.settle()
        cluster.partition([a], [b, c])
        cluster.settle()
        assert [sorted(member.list("room")) for member in members] == [["a"], ["b", "c"], ["b", "c"]]
        assert names(b, "down") == {"a"}
        cluster.partition([a, b])  # c is one more group; the earlier one is over
        cluster.settle()
        assert [sorted(member.list("room")) for member in members] == [["a", "b"], ["a", "b"], ["c"]]
        cluster.heal()
        cluster.settle()
        assert [sorted(member.list("room")) for member in members] == [["a", "b", "c"]] * 3


def test_a_block_is_bridged() -> None:
    with Cluster(seed=5) as cluster:
        a, b = cluster.start("a"), cluster.start("b")
        cluster.start("c")
        cluster.settle()
        cluster.block(a, b)
        cluster.run(30)
        a.track(a, "room", "u1")
        cluster.settle()
        assert b.count("room") == 1
        cluster.block(b, a, both=False)
        cluster.heal()
        cluster.settle()


@pytest.mark.parametrize("silent", [False, True])
def test_crash_and_restart(silent: bool) -> None:
    with Cluster(seed=6) as cluster:
        a, b = cluster.start("a"), cluster.start("b")
        owner, address, before = a.owner(), a.address, 0.0
        a.track(owner, "room", "u1")
        events = a.subscribe("room", timeout=5)
        assert next(events).event == "presence_state"
        cluster.settle()
        before = cluster.now
        cluster.crash(a, silent=silent)
        assert cluster.members == [b]
        for call in (lambda: a.track(owner, "room", "u2"), lambda: a.list("room"), lambda: a.count("room"), a.owner):
            with pytest.raises(TrackerClosed, match="the member 'a' was crashed by the test"):
                call()
        with pytest.raises(TrackerClosed):
            list(events)
        owner.close()
        a.stop()
        cluster.settle()
        assert b.count("room") == 0 and (cluster.now - before > 1) == silent
        again = cluster.start("a")
        cluster.settle()
        assert again.address == address and names(b) == {"a", "b"}
        with pytest.raises(TrackerClosed):
            cluster.pause(a)


def test_pause_and_resume() -> None:
    with Cluster(seed=7) as cluster:
        a, b = cluster.start("a"), cluster.start("b")
        b.track(b, "room", "u1")
        cluster.settle()
        cluster.pause(b)
        with pytest.raises(WrongState, match="b is paused already"):
            cluster.pause(b)
        cluster.settle()
        assert a.count("room") == 0 and b.count("room") == 1
        cluster.resume(b)
        cluster.settle()
        assert a.count("room") == 1


def test_stop_is_a_farewell() -> None:
    with Cluster(seed=8) as cluster:
        a, b = cluster.start("a"), cluster.start("b")
        b.track(b, "room", "u1")
        cluster.settle()
        cluster.stop(b)
        assert cluster.members == [a]
        before = cluster.now
        cluster.settle()
        assert a.count("room") == 0 and cluster.now - before < 0.1
        assert [member.name for member in a.members() if member.status == "down"] == []


class Watching(Tracker):
    """Hooks that see what happened, and answer in the cluster."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.fold = Fold()
        self.met: list[Any] = []
        self.cluster: Cluster | None = None

    def fetch(self, topic: str, presences: Any) -> Any:
        return {key: {**entry, "by": "fetch"} for key, entry in presences.items()}

    def handle_diff(self, diff: Any) -> None:
        self.fold.diff(diff["room"]) if "room" in diff else None

    def handle_member(self, member: Any) -> None:
        self.met.append((member.name, member.status, self.cluster and self.cluster.now))
        if member.status == "up":
            self.track(self, "greeted", member.name)


def test_callbacks_are_served_at_their_moment() -> None:
    with Cluster(seed=9) as cluster:
        a = cluster.start("a", Watching)
        a.cluster = cluster
        b = cluster.start("b", cls=Watching)
        b.track(b, "room", "u1", {"n": 1})
        cluster.settle()
        assert a.fold.state == by_ref(b.list("room")) and a.list("room")["u1"]["by"] == "fetch"
        assert sorted(b.list("greeted")) == ["a", "b"]
        cluster.pause(b)
        before = cluster.now
        cluster.run(60)
        assert a.fold.state == {}
        [(_, status, moment), *_] = [seen for seen in a.met if seen[1] == "down"]
        assert status == "down" and before < moment < before + 20


def test_subscriptions_hold_what_happened() -> None:
    with Cluster(seed=10) as cluster:
        a, b = cluster.start("a"), cluster.start("b")
        owner, fold = a.owner(), Fold()
        events = b.subscribe("room", timeout=0)
        fold.take(next(events))
        a.track(owner, "room", "u1")
        with pytest.raises(PresenceTimeout):
            next(events)
        cluster.settle()
        fold.take(next(events))
        a.update(owner, "room", "u1", {"n": 2})
        cluster.settle()
        fold.take(next(events))
        assert fold.state == by_ref(b.list("room"))


def test_until() -> None:
    with Cluster(seed=11) as cluster:
        a, b = cluster.start("a"), cluster.start("b")
        a.track(a, "room", "u1")
        assert cluster.until(lambda: b.count("room")) == 1
        with pytest.raises(SettleTimeout, match="within 0.5 s of virtual time"):
            cluster.until(lambda: b.count("other"), limit=0.5)


def test_settle_says_who_disagrees() -> None:
    with Cluster(seed=12, latency=(0.5, 1)) as cluster:
        a = cluster.start("a")
        cluster.start("b")
        cluster.settle()
        a.track(a, "room", "u1")
        with pytest.raises(SettleTimeout, match="under way|b shows 0 presences of a, which tracks 1"):
            cluster.settle(limit=0.1)
        cluster.start("c", join=[])
        with pytest.raises(SettleTimeout, match="not call c up|c does not call"):
            cluster.settle()


def test_a_program_that_makes_its_own_members() -> None:
    """With the options it has in production, of which none opens a socket here."""
    with Cluster(seed=13) as cluster:
        first = cluster.add(Tracker(name="web-1", listen="127.0.0.1:7946"))
        second = cluster.add(Tracker(name="web-2", listen="127.0.0.1:7947", join=["127.0.0.1:7946"]))
        with pytest.raises(WrongState, match="not started"):
            cluster.pause(first)
        with first, second:
            assert first.address == "127.0.0.1:7946"
            cluster.settle()
            assert names(first) == {"web-1", "web-2"}
            with pytest.raises(AddressInUse):
                cluster.start("web-3", listen="127.0.0.1:7946")


def history(seed: int) -> tuple[float, str, str]:
    with Cluster(seed=seed) as cluster:
        a, b = cluster.start("a"), cluster.start("b")
        ref = a.track(a, "room", "u1")
        cluster.settle()
        cluster.partition([a])
        cluster.settle()
        cluster.heal()
        cluster.settle()
        return cluster.now, ref, str(b.stats())


def test_the_same_seed_gives_the_same_history() -> None:
    assert history(20) == history(20)
    assert history(20)[1] != history(21)[1]


def test_wrong_arguments() -> None:
    for seed in (True, "1", 1.5):
        with pytest.raises(InvalidArgument, match="seed"):
            Cluster(seed)  # type: ignore[arg-type]
    for latency in ((1,), "fast", (2, 1), (-1, 1), (0, 4000)):
        with pytest.raises(InvalidArgument, match="latency"):
            Cluster(latency=latency)  # type: ignore[arg-type]
    with Cluster(seed=14) as cluster, Cluster(seed=15) as other:
        a, stranger = cluster.start("a"), other.start("a")
        for wrong in (stranger, None, Presence()):
            with pytest.raises((InvalidArgument, WrongState)):
                cluster.pause(wrong)  # type: ignore[arg-type]
            with pytest.raises((InvalidArgument, WrongState)):
                cluster.partition([wrong])  # type: ignore[list-item]
        with pytest.raises(InvalidArgument, match="named twice"):
            cluster.partition([a], [a])
        with pytest.raises(InvalidArgument, match="one member"):
            cluster.block(a, a)
        with pytest.raises(InvalidArgument, match="Trackers"):
            cluster.start("b", Presence)  # type: ignore[type-var]
        with pytest.raises(InvalidArgument, match="Trackers"):
            cluster.add(Presence())  # type: ignore[type-var]
        with pytest.raises(WrongState, match="started already"):
            cluster.add(a)
        with pytest.raises(InvalidArgument):
            cluster.run(-1)
        with pytest.raises(InvalidOption):
            cluster.start("c", bogus=1)


# ---- AsyncCluster ----


class Users(Presence):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.fold = Fold()

    async def fetch(self, topic: str, presences: Any) -> Any:
        await asyncio.sleep(0)
        return {key: {**entry, "by": "fetch"} for key, entry in presences.items()}

    async def handle_diff(self, diff: Any) -> None:
        await asyncio.sleep(0)
        for payload in diff.values():
            self.fold.diff(payload)


def test_an_asynchronous_cluster(run: Run) -> None:
    async def main() -> None:
        async with AsyncCluster(seed=30) as cluster:
            a, b = await cluster.start("a", Users), await cluster.start("b", cls=Users)
            assert await b.synced(5) == "synced"
            async with b.subscribe("room") as events:
                assert (await anext(events)).payload == {}
                a.track(a, "room", "u1")
                await cluster.settle()
                assert (await anext(events)).payload["joins"]["u1"]["by"] == "fetch"
            assert b.fold.state == by_ref(await a.list("room")) != {}
            cluster.partition([a], [b])
            await cluster.settle()
            assert b.fold.state == {} and b.count("room") == 0
            cluster.heal()
            assert await cluster.until(lambda: b.list("room"))
            await cluster.run(10)
            await cluster.crash(a)
            with pytest.raises(TrackerClosed, match="'a' was crashed by the test"):
                await a.list("room")
            await a.stop()
            await cluster.settle()
            assert b.fold.state == {} and cluster.members == [b]
            await cluster.start("a")
            await cluster.settle()
            await cluster.stop(b)
            assert len(cluster.members) == 1

    run(main())


def test_an_asynchronous_program_that_makes_its_own_members(run_once: Run) -> None:
    async def main() -> None:
        async with AsyncCluster(seed=31) as cluster:
            async with cluster.add(Users(name="web-1")) as users, cluster.add(Users(name="web-2")) as others:
                async with users.track_as("room", "u1"):
                    await cluster.settle()
                    assert others.count("room") == 1
                await cluster.settle()
                assert others.count("room") == 0
            with pytest.raises(SettleTimeout):
                await cluster.until(lambda: False, limit=1)
            with pytest.raises(InvalidArgument, match="Presences"):
                await cluster.start("a", Tracker)  # type: ignore[type-var]

    run_once(main())
