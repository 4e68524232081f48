"""Faults of the real world against real processes on hosts of their own; the figures of failure detection.

usage: chaos.py SECONDS [SEED]      random faults for so long, then the figures
       chaos.py --figures           the figures alone
"""

import os
import pathlib
import random
import select
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cluster")]

import hosts  # noqa: E402
from cluster import ROOMS, Cluster  # noqa: E402
from conftest import until  # noqa: E402

LANGUAGES = ["c", "python", "node", "c", "python"]


# ---- faults: each begins, is borne while presences come and go, and is healed by quiet() ----
def killed(cluster, node, rng):
    cluster.touched.add(node.name)
    node.kill()
    return rng.uniform(0.2, 3)


def stalled(cluster, node, rng):
    cluster.touched.add(node.name)
    node.stall()
    return rng.choice([0.5, 1, 3, 6])


def lost(cluster, node, rng):
    """its host is gone without a word, and comes back"""
    cluster.touched.add(node.name)
    node.host.unplug()
    return rng.choice([1, 6])


def deaf(cluster, node, rng):
    """nothing reaches it; what it sends arrives"""
    cluster.touched.add(node.name)
    for other in cluster.nodes:
        if other is not node:
            other.host.drop(node.host)
    return rng.choice([1, 6])


def one_link(cluster, node, rng):
    """one pair cannot hear each other, all others hear both: nobody is away for anybody"""
    other = rng.choice([other for other in cluster.nodes if other not in (node, cluster.watcher)])
    node.host.drop(other.host)
    other.host.drop(node.host)
    return rng.choice([2, 6])


def halves(cluster, node, rng):
    """cut in two for longer than it takes to be down"""
    others = [other for other in cluster.nodes if other not in (node, cluster.watcher)]
    away = [node, rng.choice(others)]
    for one in cluster.nodes:
        for other in cluster.nodes:
            if (one in away) != (other in away):
                one.host.drop(other.host)
    cluster.touched.update(one.name for one in away)
    return 8


FAULTS = [killed, stalled, lost, deaf, one_link, halves]


def at_random(seconds, seed):
    rng = random.Random(seed)
    end, rounds, healed = time.monotonic() + seconds, 0, []
    with hosts.Network() as network:
        cluster = Cluster(network, LANGUAGES, rng, log_level="error")
        try:
            cluster.quiet()
            order = []
            while time.monotonic() < end:
                order = order or rng.sample(FAULTS, len(FAULTS))
                fault, node = order.pop(), rng.choice(cluster.nodes[1:])
                borne = fault(cluster, node, rng)
                print(f"chaos: {fault.__name__} {node.name} for {borne:.1f} s", flush=True)
                cluster.churn(borne)
                healed.append(cluster.quiet())
                rounds += 1
        finally:
            cluster.end()
    print(f"chaos: held: {rounds} faults, {cluster.changes} changes; heal to agreement: median {statistics.median(healed):.2f} s, "
          f"worst {max(healed):.2f} s; seed {seed}")


# ---- figures ----
CALM_S = 15  # heartbeats that came in time until a member that was just away is borne no longer than others


def hidden_after(cluster, fault, times, calm_s=0):
    """ms from the fault until the watcher no longer shows what the member had"""
    found, node, member = [], cluster.nodes[3], cluster.watcher.member
    for _ in range(times):
        node.member.track(node.owner, ROOMS[0], "measured")
        until(lambda: "measured" in member.keys(ROOMS[0]), "it to be seen", 20)
        calm = time.monotonic() + calm_s
        until(lambda: select.select([], [], [], 0.2) and time.monotonic() >= calm, "calm", 60)
        start = time.monotonic()
        fault(node)
        until(lambda: "measured" not in member.keys(ROOMS[0]), "it to be hidden", 60)
        found.append((time.monotonic() - start) * 1000)
        cluster.heal()
        node.member("untrack", owner=node.owner, topic=ROOMS[0], key="measured")
        until(lambda: cluster.disagreement() is None, cluster.disagreement, 60)
    return found


def figures():
    with hosts.Network() as network:
        cluster = Cluster(network, LANGUAGES, random.Random(1), heartbeat_ms=1000, log_level="error")
        try:
            until(lambda: cluster.disagreement() is None, cluster.disagreement, 60)
            rows = [("a process killed by SIGKILL is hidden", hidden_after(cluster, lambda node: node.kill(), 20)),
                    ("a host lost without a word is hidden", hidden_after(cluster, lambda node: node.host.unplug(), 5, CALM_S)),
                    ("the same, seconds after it came back", hidden_after(cluster, lambda node: node.host.unplug(), 3))]
        finally:
            cluster.end()
    print("| what | times | median | worst |\n|---|---|---|---|")
    for what, times in rows:
        print(f"| {what} | {len(times)} | {statistics.median(times):.0f} ms | {max(times):.0f} ms |")


def main(words):
    why = hosts.why_not()
    if why:
        print(f"SKIPPED (no network namespaces): {len(FAULTS)} scenarios: {why}")
        return 1 if os.environ.get("CI_REQUIRE") == "net" else 0
    if words[:1] != ["--figures"]:
        seed = int(words[1]) if len(words) > 1 else random.SystemRandom().randrange(1 << 31)
        print(f"chaos: seed {seed}")
        at_random(float(words[0]), seed)
    figures()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
