"""Members together: in one process, in several, started from one configuration, killed."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest
from observing import DEADLINE, Fold, by_ref, next_event, until, until_sync

import libpresence
from libpresence import Presence, Tracker

FAST = {"heartbeat_ms": 100, "grace_ms": 300}


async def same(topic: str, *members: Presence) -> dict[str, Any]:
    """Waits until all show the same of a topic; gives it."""

    async def equal() -> bool:
        shown = [by_ref(await member.list(topic)) for member in members]
        return all(one == shown[0] for one in shown)

    await until(equal, f"one view of {topic}")
    return by_ref(await members[0].list(topic))


def test_two_members(run: Any) -> None:
    async def main() -> None:
        async with Presence(name="a", **FAST) as a:
            async with Presence(name="b", join=[a.address], **FAST) as b:
                assert await b.synced(DEADLINE) == "synced"
                await until(lambda: len(a.members()) == 2)
                assert [member.name for member in a.members()] == ["a", "b"]
                assert [member.name for member in b.members()] == ["b", "a"]
                fold = Fold()
                async with b.subscribe("t") as events:
                    fold.take(await next_event(events))
                    owner = a.owner()
                    ref = owner.track("t", "k", {"n": 1})
                    diff = await next_event(events)
                    fold.take(diff)
                    assert diff.payload["joins"]["k"]["metas"] == [{"n": 1, "phx_ref": ref}]
                    assert diff.changes[0].member == "a"
                    second = owner.update("t", "k", {"n": 2})
                    diff = await next_event(events)
                    fold.take(diff)
                    assert diff.payload["joins"]["k"]["metas"] == [{"n": 2, "phx_ref": second, "phx_ref_prev": ref}]
                    assert diff.payload["leaves"]["k"]["metas"][0]["phx_ref"] == ref
                    own = b.owner()
                    own.track("t", "k", {"of": "b"})
                    while len(fold.state["k"]) < 2:
                        fold.take(await next_event(events))
                    assert await same("t", a, b) == fold.state
                    assert list(await a.list("t")) == list(await b.list("t")) == ["k"]
                    assert [meta["phx_ref"] for meta in (await a.list("t"))["k"]["metas"]] == [
                        meta["phx_ref"] for meta in (await b.list("t"))["k"]["metas"]
                    ], "metas of one key have one order"
                    with pytest.raises(libpresence.NotTracked):
                        b.update(own, "other", "k", {})
                    assert own.untrack("t", "other") == 0
                    owner.close()
                    while len(fold.state["k"]) > 1:
                        diff = await next_event(events)
                        fold.take(diff)
                    assert (diff.changes[0].kind, diff.changes[0].reason, diff.changes[0].last) == (
                        "leave", "owner_closed", False,
                    )  # fmt: skip
            await until(lambda: a.count("t") == 0)

    run(main())


def test_leaving_is_told(run: Any) -> None:
    async def main() -> None:
        seen: list[Any] = []
        leaves: list[Any] = []

        class Watcher(Presence):
            async def handle_member(self, member: Any) -> None:
                seen.append((member.name, member.status, bool(member.reason)))

            async def handle_diff(self, diff: Any) -> None:
                leaves.extend(change for change in diff.changes if change.kind == "leave")

        async with Watcher(name="a", **FAST) as a:
            b = await Presence(name="b", join=[a.address], **FAST).start()
            b.track(b, "t", "k")
            await until(lambda: a.count("t") == 1)
            await b.stop()
            await until(lambda: leaves and [entry for entry in seen if entry[1] == "left"])
            assert ("b", "up") in [entry[:2] for entry in seen]
            assert ("b", "left", True) in seen
            assert (leaves[0].reason, leaves[0].member, leaves[0].last) == ("member_left", "b", True)
            assert [member.name for member in a.members()] == ["a"]

    run(main())


def test_alone_and_each_others_seed(run_once: Any) -> None:
    def free_port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    async def main() -> None:
        first, second = (f"127.0.0.1:{free_port()}" for _ in range(2))
        async with Presence(listen=first, join=[second], connect_timeout_ms=500, **FAST) as a:
            assert await a.synced(DEADLINE) == "alone"
            async with Presence(listen=second, join=[first, second], **FAST) as b:
                assert await b.synced(DEADLINE) == "synced"
                await until(lambda: len(a.members()) == len(b.members()) == 2)

    run_once(main())


def test_the_first_sync_is_told_as_diffs(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(name="a", **FAST) as a:
            owner = a.owner()
            for start in range(0, 5000, 500):
                a.track_many(owner, [(f"t{key % 3}", key, {"n": key}) for key in range(start, start + 500)])
            fold: dict[str, Fold] = {}

            async def handle_metas(topic: str, diff: Any, presences: Any) -> None:
                fold.setdefault(topic, Fold()).diff(diff)
                assert by_ref(presences) == fold[topic].state

            async with Presence(join=[a.address], handle_metas=handle_metas, queue_bytes=16384, **FAST) as b:
                assert await b.synced(DEADLINE) == "synced"
                await until(lambda: sum(b.count(f"t{n}") for n in range(3)) == 5000)
                await b.settle()
                for topic in b.topics():
                    assert fold[topic].state == by_ref(await b.list(topic)) == by_ref(await a.list(topic))
                assert b.stats()["resyncs"] == 0

    run_once(main())


def test_name_conflict(run: Any) -> None:
    """Of two live members with one name the older start yields."""

    async def main() -> None:
        seen: list[Any] = []
        old = await Presence(name="twin", handle_member=seen.append, **FAST).start()
        events = old.subscribe("t")
        await next_event(events)
        started = old.members()[0].incarnation
        await until(lambda: time.time() * 1000 > started + 2, "a later millisecond")
        async with Presence(name="twin", join=[old.address], handle_member=seen.append, **FAST) as young:
            with pytest.raises(libpresence.NameConflict):
                while True:
                    await next_event(events)
            with pytest.raises(libpresence.NameConflict):
                old.track(old, "t", "k")
            with pytest.raises(libpresence.NameConflict):
                await old.list("t")
            with pytest.raises(libpresence.NameConflict):
                await old.synced(1)
            young.track(young, "t", "k")
            await until(lambda: sum(member.status == "conflict" for member in seen) == 2)
            await old.stop()

    run(main())


def test_restart_replaces(run_once: Any) -> None:
    async def main() -> None:
        leaves: list[Any] = []

        def handle_diff(diff: Any) -> None:
            leaves.extend(change for change in diff.changes if change.kind == "leave")

        async with Presence(name="a", handle_diff=handle_diff, suspect_ms=20_000, grace_ms=20_000) as a:
            with child("b", a.address) as first:
                first.say("track t k1")
                await until(lambda: a.count("t") == 1)
                os.kill(first.pid, signal.SIGSTOP)  # silent, and not yet missed
                with child("b", a.address) as second:
                    second.say("track t k2")
                    await until(lambda: leaves)
                    os.kill(first.pid, signal.SIGKILL)
                    assert set(await a.list("t")) == {"k2"}
                    assert (leaves[0].key, leaves[0].reason) == ("k1", "replaced")
                    assert [member.name for member in a.members()] == ["a", "b"]

    run_once(main())


CHILD = """
import sys
import time
import libpresence
name, seed = sys.argv[1:]
with libpresence.Tracker(name=name, join=[seed], heartbeat_ms=100, grace_ms=300) as tracker:
    owner = tracker.owner()
    for line in sys.stdin:
        command, *words = line.split()
        if command == "track":
            owner.track(*words)
        print("done", flush=True)
"""


class child:
    """A member in a process of its own that does what its lines of input say."""

    def __init__(self, name: str, seed: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, name, seed], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid

    def say(self, line: str) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def __enter__(self) -> child:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(DEADLINE)
        self._process.stdout.close()


def test_exit_without_stop_tells_the_others(run_once: Any) -> None:
    text = """
import sys, libpresence
tracker = libpresence.Tracker(name="b", join=[sys.argv[1]]).start()
tracker.track(tracker, "t", "k")
sys.stdin.read()
"""

    async def main() -> None:
        leaves: list[Any] = []

        def handle_diff(diff: Any) -> None:
            leaves.extend(change for change in diff.changes if change.kind == "leave")

        async with Presence(name="a", handle_diff=handle_diff, grace_ms=20_000) as a:
            process = subprocess.Popen([sys.executable, "-c", text, a.address], stdin=subprocess.PIPE)
            await until(lambda: a.count("t") == 1)
            assert process.stdin
            process.stdin.close()
            await until(lambda: leaves)
            assert leaves[0].reason == "member_left"
            assert process.wait(DEADLINE) == 0

    run_once(main())


def test_kill_hides_and_restart_shows(run_once: Any) -> None:
    async def main() -> None:
        changes: list[Any] = []
        members: list[Any] = []

        async def handle_diff(diff: Any) -> None:
            changes.extend(diff.changes)

        async with Presence(name="a", handle_diff=handle_diff, handle_member=members.append, **FAST) as a:
            a.track(a, "t", "mine")
            with child("b", a.address) as b:
                b.say("track t k1")
                b.say("track t k2")
                await until(lambda: a.count("t") == 3)
                os.kill(b.pid, signal.SIGKILL)
                await until(lambda: a.count("t") == 1)
                await a.settle()
                gone = [change for change in changes if change.kind == "leave"]
                assert {change.key for change in gone} == {"k1", "k2"}
                assert {change.reason for change in gone} == {"member_down"}
                await until(lambda: [member for member in members if member.status == "down"])
                [down] = [member for member in a.members() if member.name == "b"]
                assert down.status == "down"

    run_once(main())


def test_wrong_cluster_is_refused(run_once: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Presence(cluster="one", **FAST) as a:
            async with Presence(cluster="other", join=[a.address], connect_timeout_ms=500, **FAST) as b:
                assert await b.synced(DEADLINE) == "alone"
                a.track(a, "t", "k")
                assert len(a.members()) == len(b.members()) == 1
                await until(lambda: "cluster" in caplog.text)

    run_once(main())


WORKER = """
import json, os, sys
import libpresence
first, last = sys.argv[1:]
span = f"127.0.0.1:{first}-{last}"
with libpresence.Tracker(listen=span, join=span, cluster="workers", heartbeat_ms=100, grace_ms=300) as tracker:
    tracker.synced(20)
    owner = tracker.owner()
    owner.track("roster", os.getpid())
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps([sorted(tracker.list("roster")), len(tracker.members())]), flush=True)
"""


def test_workers_of_one_configuration(run_once: Any) -> None:
    """Four processes, one port range for listen and join, as under a server with --workers 4."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        first = probe.getsockname()[1]
    first = min(first, 65000)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(first), str(first + 15)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        for worker in workers:
            assert worker.stdout and worker.stdout.readline() == "ready\n"

        def roster(worker: Any) -> Any:
            worker.stdin.write("list\n")
            worker.stdin.flush()
            return json.loads(worker.stdout.readline())[0]

        everybody = sorted(str(worker.pid) for worker in workers)
        until_sync(lambda: all(roster(worker) == everybody for worker in workers), "one roster")
        workers[0].kill()
        rest = sorted(str(worker.pid) for worker in workers[1:])
        until_sync(lambda: all(roster(worker) == rest for worker in workers[1:]), "one roster without the killed one")
    finally:
        for worker in workers:
            assert worker.stdin and worker.stdout
            worker.stdin.close()
            worker.wait(DEADLINE)
            worker.stdout.close()


def _pool_worker(address: str, number: int, results: Any) -> None:
    with Tracker(join=[address], **FAST) as tracker:
        assert tracker.synced(DEADLINE) == "synced"
        with tracker.owner() as owner:
            owner.track("pool", number)
            until_sync(lambda: tracker.count("pool") == 4, "all workers")
            results.put(sorted(tracker.list("pool")))
            until_sync(lambda: tracker.count("done") == 1, "the end")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_multiprocessing(method: str) -> None:
    context = multiprocessing.get_context(method)
    results = context.Queue()
    with Tracker(**FAST) as tracker:
        children = [context.Process(target=_pool_worker, args=(tracker.address, n, results)) for n in range(4)]
        for process in children:
            process.start()
        lists = [results.get(timeout=DEADLINE) for _ in children]
        assert lists == [["0", "1", "2", "3"]] * 4
        tracker.track(tracker, "done", "k")
        for process in children:
            process.join(DEADLINE)
            assert process.exitcode == 0
        until_sync(lambda: tracker.count("pool") == 0)


def test_observers_are_not_members(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(name="a", **FAST) as a:
            a.track(a, "t", "k")
            async with Presence(name="cli", listen="", observer=True, join=[a.address], **FAST) as cli:
                await cli.synced(DEADLINE)
                assert await same("t", a, cli)
                assert [member.name for member in a.members()] == ["a"]
                assert cli.address == ""

    run_once(main())


def test_many_changes_on_both_sides(run: Any) -> None:
    async def main() -> None:
        last: dict[str, Any] = {}

        def hook(name: str) -> Any:
            return lambda topic, diff, presences: last.update({name: presences})

        async with (
            Presence(name="a", handle_metas=hook("a"), **FAST) as a,
            Presence(name="b", handle_metas=hook("b"), join=[a.address], **FAST) as b,
        ):
            await b.synced(DEADLINE)
            folds = {"a": Fold(), "b": Fold()}

            async def watch(member: Presence, fold: Fold) -> None:
                async with member.subscribe("t") as events:
                    async for event in events:
                        fold.take(event)

            tasks = [asyncio.ensure_future(watch(a, folds["a"])), asyncio.ensure_future(watch(b, folds["b"]))]
            owners = [a.owner(), b.owner()]
            for step in range(600):
                owner, key = owners[step % 2], step % 11
                try:
                    owner.track("t", key, {"step": step})
                except libpresence.AlreadyTracked:
                    if step % 3:
                        owner.update("t", key, {"step": step})
                    else:
                        owner.untrack("t", key)
                if step % 40 == 0:
                    await asyncio.sleep(0)
            final = await same("t", a, b)
            await until(lambda: folds["a"].state == folds["b"].state == final)
            assert folds["a"].states == folds["b"].states == 1
            for name, member in (("a", a), ("b", b)):
                await member.settle()
                assert last[name] == await member.list("t"), "with the metas of a key in the same order"
        await asyncio.wait_for(asyncio.gather(*tasks), DEADLINE)

    run(main())


def test_seeds_come_and_go_at_run_time(run: Any) -> None:
    async def main() -> None:
        async with Presence(name="a", **FAST) as a, Presence(name="b", **FAST) as b:
            b.add_seed([a.address, "127.0.0.1:9"])
            await until(lambda: all([one.status for one in member.members()] == ["up"] * 2 for member in (a, b)), "both")
            assert b.remove_seed(f"{a.address},127.0.0.1:9") == 2
            assert b.remove_seed(a.address) == 0
            assert len(b.members()) == 2
            with pytest.raises(libpresence.AddressError):
                b.add_seed("nonsense")
            with pytest.raises(libpresence.Unsupported):
                b.add_seed("10.0.0.1:7946")
            with pytest.raises(libpresence.InvalidOption):
                b.add_seed([3.5])  # type: ignore[list-item]
        with pytest.raises(libpresence.TrackerClosed):
            b.add_seed(a.address)

    run(main())
