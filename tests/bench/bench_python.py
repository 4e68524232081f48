"""The Python package: calls, lists, delivery, and the Python side of the latency between languages.

usage: bench_python.py calls [N] | dict [N] | memory [N] | subscribe | read COUNT | write COUNT ADDRESS
"""

import asyncio
import gc
import itertools
import os
import sys
import time

from libpresence import Presence, Tracker

OWNERS = 1000
TOPIC_ENTRIES = 10


def report(name, value, unit):
    print(name, f"{value:.6g}", unit, sep="\t", flush=True)


def cpu():
    """Seconds of this thread alone: others on the machine are not in it."""
    return time.thread_time()


def load(count):
    """(topic, key, meta) of each presence, as in bench_load.h."""
    return [
        (f"room:{i // TOPIC_ENTRIES:08}", f"u{i:010}", {"status": "online", "at": 1000000000 + i, "d": 1})
        for i in range(count)
    ]


def calls(count):
    presences = load(count)
    with Tracker(listen="") as users:
        owners = [users.owner() for _ in range(OWNERS)]
        start = cpu()
        for i, (topic, key, meta) in enumerate(presences):
            users.track(owners[i % OWNERS], topic, key, meta)
        report("python.track", count / (cpu() - start), "/s")
        meta = {"status": "absent", "at": 1000000000, "d": 2}
        start = cpu()
        for i, (topic, key, _) in enumerate(presences):
            users.update(owners[i % OWNERS], topic, key, meta)
        report("python.update", count / (cpu() - start), "/s")
        start = cpu()
        for i in range(0, count, 10):
            users.count(presences[i][0])
        report("python.count", count / 10 / (cpu() - start), "/s")
        for owner in owners:
            owner.close()
        track_many(users, presences)
        list_one(users, presences)


def track_many(users, presences):
    with users.owner() as owner:
        start = cpu()
        for first in range(0, len(presences), 100):
            users.track_many(owner, presences[first : first + 100])
        report("python.track_many", len(presences) / (cpu() - start), "/s")


def list_one(users, presences):
    with users.owner() as owner:
        users.track_many(owner, [("list", key, meta) for _, key, meta in presences[:100]])
        start = cpu()
        for _ in range(500):
            users.list("list")
        report("python.list.100", (cpu() - start) / 500 * 1e6, "us")


class DictOfDicts:
    """What one writes by hand for one process: topics of keys of metas with a ref, and what each owner has."""

    def __init__(self):
        self.topics = {}
        self.owned = {}
        self.refs = itertools.count(1)

    def track(self, owner, topic, key, meta):
        ref = f"{next(self.refs):022}"
        self.topics.setdefault(topic, {}).setdefault(key, {"metas": []})["metas"].append({**meta, "phx_ref": ref})
        self.owned.setdefault(owner, []).append((topic, key))
        return ref


def yardstick(count):
    presences = load(count)
    owners = [object() for _ in range(OWNERS)]
    users = DictOfDicts()
    start = cpu()
    for i, (topic, key, meta) in enumerate(presences):
        users.track(owners[i % OWNERS], topic, key, meta)
    report("python.dict", count / (cpu() - start), "/s")


def resident():
    """Bytes of memory this process has, what Python and the library hold alike."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(count):
    """The texts are made one by one and dropped, so what stays is what a presence costs."""
    meta = lambda i, status: {"status": status, "at": 1000000000 + i, "d": 1}
    topic, key = (lambda i: f"room:{i // TOPIC_ENTRIES:08}"), (lambda i: f"u{i:010}")
    with Tracker(listen="") as users:
        owners = [users.owner() for _ in range(OWNERS)]
        users.track(owners[0], "first", "first", meta(0, "online"))
        before = resident()
        for i in range(count):
            users.track(owners[i % OWNERS], topic(i), key(i), meta(i, "online"))
        report("python.memory.0", (resident() - before) / count, "B")
        for i in range(count):
            users.update(owners[i % OWNERS], topic(i), key(i), meta(i, "absent"))
        report("python.memory.100", (resident() - before) / count, "B")


async def subscribe():
    """Every diff is one join; tracked in bursts outside the time, so that delivery alone is measured."""
    bursts, size, took = 20, 1000, 0.0
    async with Presence(listen="") as users:
        async with users.subscribe("room") as events:
            await anext(events)
            for burst in range(bursts):
                with users.owner() as owner:
                    for i in range(size):
                        users.track(owner, "room", f"u{i}", {"status": "online", "at": 1000000000 + i, "d": 1})
                    start = cpu()
                    for _ in range(size):
                        await anext(events)
                    took += cpu() - start
                await anext(events)
    report("python.subscribe", bursts * size / took, "diffs/s")


async def read(count):
    took = []
    async with Presence() as users:
        async with users.subscribe("latency") as events:
            print(users.address, flush=True)
            async for event in events:
                now = time.monotonic_ns()
                if event.event == "presence_diff":
                    took += [(now - change.meta["t"]) / 1e6 for change in event.changes if change.kind == "join"]
                if len(took) >= count:
                    break
    took.sort()
    print(took[len(took) // 2], took[len(took) * 99 // 100], flush=True)


async def write(count, address):
    async with Presence(listen="", join=[address]) as users:
        await users.synced(timeout=5)
        with users.owner() as owner:
            for i in range(count):
                await asyncio.sleep(0.005)
                users.track(owner, "latency", f"k{i}", {"t": time.monotonic_ns()})
            await asyncio.to_thread(sys.stdin.read)


def main(what="", *arguments):
    if what == "calls":
        calls(int(*arguments or (100000,)))
    elif what == "dict":
        yardstick(int(*arguments or (100000,)))
    elif what == "memory":
        memory(int(*arguments or (400000,)))
    elif what == "subscribe":
        asyncio.run(subscribe())
    elif what == "read":
        asyncio.run(read(int(arguments[0])))
    elif what == "write":
        asyncio.run(write(int(arguments[0]), arguments[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
