"""A cluster on such hosts in three languages, what is true of it, and the check of every member against that."""

import json
import signal
import time

import conftest
from conftest import Refused, refs, until

ROOMS = ["lobby", "room:1", "room:2"]
PORT = 7946
PATIENCE_S = 60


class Node:
    """A host, the member on it if one runs, and what that member tracks."""

    def __init__(self, cluster, index, language, host):
        self.cluster, self.name, self.language, self.host = cluster, f"{language}-{index}", language, host
        self.member, self.owner, self.tracked, self.stopped = None, None, {}, False

    def start(self):
        plain = conftest.COMMANDS[self.language]
        conftest.COMMANDS[self.language] = [*self.host.command, *plain]
        try:
            seeds = ",".join(f"{node.host.address}:{PORT}" for node in self.cluster.nodes if node is not self)
            self.member = conftest.Member(self.language, name=self.name, cluster="chaos", listen=f"{self.host.address}:{PORT}", join=seeds,
                                          secret=conftest.SECRET, **self.cluster.options)
        finally:
            conftest.COMMANDS[self.language] = plain
        self.owner, self.tracked, self.stopped = self.member("owner"), {}, False
        for room in ROOMS:
            self.member("subscribe", topic=room)

    def kill(self):
        self.member.kill(signal.SIGKILL)
        self.member.process.wait()
        self.member.end()
        self.member, self.tracked = None, {}

    def stall(self):
        self.member.kill(signal.SIGSTOP)
        self.stopped = True

    def go_on(self):
        if self.member and self.stopped:
            self.member.kill(signal.SIGCONT)
        self.stopped = False

    @property
    def answers(self):
        return self.member is not None and not self.stopped

    def change(self, rng):
        """one track, update or untrack"""
        room, key = rng.choice(ROOMS), f"{self.name}-{rng.randrange(30)}"
        if (room, key) not in self.tracked:
            self.tracked[room, key] = self.member.track(self.owner, room, key, {"n": rng.randrange(1000)})
        elif rng.random() < 0.5:
            self.tracked[room, key] = self.member.update(self.owner, room, key, {"n": rng.randrange(1000)})
        else:
            self.member("untrack", owner=self.owner, topic=room, key=key)
            del self.tracked[room, key]
            self.cluster.gone.add((room, key))


class Cluster:
    def __init__(self, network, languages, rng, **options):
        self.network, self.rng, self.options = network, rng, options
        self.gone = set()  # untracked since the last quiet point: their leaves are right
        self.touched = set()  # names of members a fault was about: they may have been away
        self.nodes = []
        for index, language in enumerate(languages):
            self.nodes.append(Node(self, index, language, network.host()))
        self.watcher = self.nodes[0]  # no fault is ever about it
        for node in self.nodes:
            node.start()
        self.changes = 0

    def churn(self, seconds):
        """owners' presences come, change and go at about 200 a second, at all who answer"""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            node = self.rng.choice([node for node in self.nodes if node.answers])
            node.change(self.rng)
            self.changes += 1
            spent = time.monotonic() - now
            time.sleep(max(0, 0.005 - spent))  # the pace of the load; nothing is waited for

    def truth(self, room):
        return {ref for node in self.nodes for (where, _), ref in node.tracked.items() if where == room}

    def disagreement(self):
        """None, or what somebody still has wrong"""
        for node in self.nodes:
            for room in ROOMS:
                shown = set(refs(node.member.list(room)))
                if shown != self.truth(room):
                    lacks, more = len(self.truth(room) - shown), len(shown - self.truth(room))
                    return f"{node.name} in {room}: {lacks} are missing, {more} too many"
            for other in self.nodes:
                if node.member.status(other.name) != "up":
                    return f"{node.name} thinks {other.name} {node.member.status(other.name)}"
        return None

    def heal(self):
        self.network.heal()
        for node in self.nodes:
            node.go_on()
            if node.member is None:
                node.start()

    def quiet(self):
        """heals all, waits for agreement with the truth, checks folds and what the watcher was told; seconds it took"""
        self.heal()
        start = time.monotonic()
        until(lambda: self.disagreement() is None, self.disagreement, PATIENCE_S)
        took = time.monotonic() - start
        told = []
        for node in self.nodes:
            def folds(node=node):
                events = node.member.fold()
                if node is self.watcher:
                    told.extend(change for event in events for change in [{**change, "topic": event["topic"]} for change in event["changes"]])
                folded = {room: set(node.member.folded.get(room, {})) for room in ROOMS}
                return folded == {room: self.truth(room) for room in ROOMS}
            until(folds, f"the diffs of {node.name} to fold to the truth", PATIENCE_S)
        self.check_leaves(told)
        self.gone.clear()
        self.touched.clear()
        return took

    def check_leaves(self, told):
        """who was touched by no fault and did not leave was never told to have left"""
        for change in told:
            stayed = change["kind"] == "leave" and change["member"] not in self.touched and (change["topic"], change["key"]) not in self.gone
            assert not stayed, f"a leave for someone who stayed: {json.dumps(change)}"

    def end(self):
        for node in self.nodes:
            node.go_on()
            if node.member:
                try:
                    node.member.end()
                except (AssertionError, Refused) as error:
                    print(f"chaos: {node.name}: {error}")
                    raise
