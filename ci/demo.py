#!/usr/bin/env python3
"""The demo: one cluster of a C, a Python and a Node server, 30 connections that come, change and go, and kills.

Its truth is its own open sockets: who is joined where, with which fields. At every checkpoint each member's rooms, its
counts, and what every connection folded from its lines must agree with that truth, with the same phx_ref everywhere.

The Python and the Node server serve a page as well (examples/page). Who comes in there is nobody of ours and does not
count; its kill buttons are answered here, after the demo's own story: the server is killed and comes back.
"""

import argparse
import asyncio
import collections
import contextlib
import itertools
import json
import pathlib
import random
import signal
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOMS = ["room:lobby", "room:kitchen", "room:garden"]
LANGUAGES = {
    "c": ["build/roster"],
    "python": [".venv/bin/python", "examples/roster.py"],
    "node": ["node", "examples/roster.mjs"],
}
WITH_US = ["setpriv", "--pdeathsig", "KILL"]  # a server of ours ends with us, however we end
CONNECTIONS = 30
WITH_PAGE = {"python": "Python", "node": "Node"}
KILLED_S = 4  # between a kill that the page asked for and the restart
QUIET_S = 0.25  # no change of ours in the last moments before a checkpoint


class Server:
    """one member of the cluster, a process of its own"""

    def __init__(self, demo, language):
        self.demo, self.language = demo, language
        self.port, self.page, self.address, self.process = 0, 0, "127.0.0.1:0", None
        self.joins = self.leaves = 0
        self.kills_seen = {}  # language killed -> seconds until its last presence was gone here
        self.admin = None

    async def start(self, seeds):
        settings = [f"name={self.language}", f"listen={self.address}", "cluster=demo"]
        if seeds:
            settings.append("join=" + ",".join(seeds))
        if self.language in WITH_PAGE:
            settings.append(f"page={self.page}")
        self.process = await asyncio.create_subprocess_exec(
            *WITH_US, *LANGUAGES[self.language], str(self.port), *settings, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        line = (await asyncio.wait_for(self.process.stdout.readline(), 20)).decode().split()
        if len(line) != 3 + (self.language in WITH_PAGE) or line[0] != "ready":
            raise RuntimeError(f"the {self.language} server did not start")
        self.port, self.address, self.page = int(line[1]), line[2], int(line[3]) if line[3:] else 0
        self.listener = asyncio.create_task(self.listen(self.process.stdout))
        self.admin = Connection(self.demo, self)
        await self.admin.open()

    async def listen(self, lines):
        while line := await lines.readline():
            word, _, name = line.decode().strip().partition(" ")
            if word == "kill" and name in self.demo.servers:
                self.demo.asked.put_nowait(name)

    async def kill(self):
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self):
        if self.process and self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), 5)
            except asyncio.TimeoutError:
                self.process.kill()
                await self.process.wait()

    @property
    def alive(self):
        return self.process is not None and self.process.returncode is None


class Connection:
    """one client of a server; joined is the truth, folded is what its lines say"""

    def __init__(self, demo, server):
        self.demo, self.server = demo, server
        self.joined = None  # (room, name, meta)
        self.folded, self.answers, self.states = {}, asyncio.Queue(), 0
        self.reader = self.writer = self.task = None

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=1 << 20)
        self.task = asyncio.create_task(self.read())

    def send(self, line):
        self.writer.write((line + "\n").encode())

    async def read(self):
        with contextlib.suppress(ConnectionError):
            while line := await self.reader.readline():
                self.take(json.loads(line))

    def take(self, event):
        kind, payload = event["event"], event["payload"]
        if kind == "presence_state":
            self.folded, self.states = {}, self.states + 1
            self.fold(payload, {})
        elif kind == "presence_diff":
            if payload["leaves"] and self.demo.drop_leave(self):
                return
            self.fold(payload["joins"], payload["leaves"])
            self.demo.saw(self, payload)
        elif kind == "error":
            self.demo.problems.append(f"{self.server.language} answered {payload}")
        else:
            self.answers.put_nowait(event)

    def fold(self, joins, leaves):
        """as the official client does: joins first, then leaves, by phx_ref"""
        for key, entry in joins.items():
            metas = self.folded.setdefault(key, {})
            for meta in entry["metas"]:
                metas[meta["phx_ref"]] = meta
        for key, entry in leaves.items():
            for meta in entry["metas"]:
                self.folded.get(key, {}).pop(meta["phx_ref"], None)
            if not self.folded.get(key, True):
                del self.folded[key]

    def guests(self):
        return by_ref({key: {"metas": list(metas.values())} for key, metas in self.folded.items()})

    def join(self, room, name, meta):
        if self.joined:
            self.demo.left(self)
        self.joined, self.states, self.folded = (room, name, meta), 0, {}
        self.demo.sent(self)
        self.send(f"join {room} {name} {json.dumps(meta)}")

    def update(self, meta):
        self.joined = (*self.joined[:2], meta)
        self.send(f"update {json.dumps(meta)}")

    def leave(self):
        self.demo.left(self)
        self.joined, self.folded = None, {}
        self.send("leave")

    async def ask(self, line, deadline=5):
        self.send(line)
        return await asyncio.wait_for(self.answers.get(), deadline)

    async def close(self):
        if self.joined:
            self.demo.left(self)
        self.joined = None
        if self.writer:
            self.writer.close()
            with contextlib.suppress(ConnectionError):
                await self.writer.wait_closed()
        if self.task:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


def user_fields(meta):
    return {name: value for name, value in meta.items() if name not in ("phx_ref", "phx_ref_prev")}


def by_ref(presences):
    """of our connections, whose metas have a serial; people on the page come and go as they like"""
    seen = {key: {meta["phx_ref"]: user_fields(meta) for meta in entry["metas"] if "n" in meta} for key, entry in presences.items()}
    return {key: metas for key, metas in seen.items() if metas}


def without_refs(presences):
    return {key: sorted(json.dumps(fields, sort_keys=True) for fields in metas.values()) for key, metas in presences.items()}


class Demo:
    def __init__(self, drop_one):
        self.servers = {language: Server(self, language) for language in LANGUAGES}
        self.connections, self.problems = [], []
        self.asked = asyncio.Queue()  # names of members that somebody on the page wants killed
        self.random = random.Random(7)
        self.serial = itertools.count(1)
        self.pending, self.latencies = {}, collections.defaultdict(list)
        self.dropping = False
        self.drop_one = drop_one
        self.killed = None  # (language, when, names still to go per server)
        self.checkpoints = 0
        self.interrupted = False

    def interrupt(self, task):
        """a cancellation that meets a wait that just ended may be swallowed: the flag is looked at as well"""
        self.interrupted = True
        task.cancel()

    def go_on(self):
        if self.interrupted:
            raise asyncio.CancelledError

    # ---- what the connections report ----
    def sent(self, connection):
        connection.server.joins += 1
        self.pending[connection.joined[2]["n"]] = (time.monotonic(), connection.server.language)

    def left(self, connection):
        connection.server.leaves += 1

    def saw(self, connection, diff):
        now, language = time.monotonic(), connection.server.language
        for entry in diff["joins"].values():
            for meta in entry["metas"]:
                start, origin = self.pending.get(meta.get("n"), (0, language))
                seen = (meta.get("n"), language)
                if origin != language and seen not in self.latencies and "phx_ref_prev" not in meta:
                    self.latencies[seen] = now - start
        if self.killed:
            dead, when, waiting = self.killed
            for entry in diff["leaves"].values():
                for meta in entry["metas"]:
                    waiting[language].discard(meta.get("n"))
            if language != dead and not waiting[language]:
                connection.server.kills_seen.setdefault(dead, now - when)

    def drop_leave(self, connection):
        if self.drop_one and self.dropping:
            self.drop_one = False
            return True
        return False

    # ---- what the connections do ----
    def meta(self, server):
        return {"n": next(self.serial), "status": self.random.choice(["online", "away", "busy"]), "member": server.language,
                "language": WITH_PAGE.get(server.language, "C")}

    def guest(self):
        """every third of them has the name of another: one key, several metas"""
        return f"guest-{self.random.randrange(CONNECTIONS * 2 // 3)}"

    async def fill(self, server, number):
        for _ in range(number):
            connection = Connection(self, server)
            await connection.open()
            self.connections.append(connection)
            connection.join(self.random.choice(ROOMS), self.guest(), self.meta(server))

    async def churn(self, seconds, pause=0.02):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.go_on()
            connection = self.random.choice(self.connections)
            dice = self.random.random()
            if connection.joined is None or dice < 0.3:
                connection.join(self.random.choice(ROOMS), self.guest(), self.meta(connection.server))
            elif dice < 0.6:
                connection.update({**connection.joined[2], "status": self.random.choice(["online", "away", "busy", "typing"])})
            elif dice < 0.8:
                connection.leave()
            else:  # gone without a word, and somebody new
                self.connections.remove(connection)
                await connection.close()
                await self.fill(connection.server, 1)
            await asyncio.sleep(pause)

    # ---- truth against what is seen ----
    def truth(self, room):
        people = collections.defaultdict(list)
        for connection in self.connections:
            if connection.joined and connection.joined[0] == room:
                people[connection.joined[1]].append(json.dumps(connection.joined[2], sort_keys=True))
        return {key: sorted(metas) for key, metas in people.items()}

    def wrong(self, label, room, who, seen, expected):
        lines = [f"{label}: {room}: {who} disagree"]
        for key in sorted(set(seen) | set(expected)):
            if seen.get(key) != expected.get(key):
                lines.append(f"    {key}: seen {seen.get(key)}, truth {expected.get(key)}")
        self.problems.append("\n".join(lines))

    async def checkpoint(self, label):
        self.go_on()
        self.checkpoints += 1
        before = len(self.problems)
        for room in ROOMS:
            expected, lists = self.truth(room), {}
            for server in self.servers.values():
                if not server.alive:
                    continue
                answer = await server.admin.ask(f"list {room}")
                seen = lists[server.language] = by_ref(answer["payload"])
                if without_refs(seen) != expected:
                    self.wrong(label, room, f"{server.language}'s list and the sockets", without_refs(seen), expected)
                payload = answer["payload"]
                if (answer["keys"], answer["metas"]) != (len(payload), sum(len(entry["metas"]) for entry in payload.values())):
                    self.problems.append(f"{label}: {room}: {server.language}'s count and list disagree")
            first = next(iter(lists.values()))
            for language, seen in lists.items():
                if seen != first:
                    self.wrong(label, room, f"{language}'s refs and {next(iter(lists))}'s", seen, first)
            for connection in self.connections:
                if connection.joined and connection.joined[0] == room and connection.guests() != first:
                    self.wrong(label, room, f"lines of a connection to {connection.server.language}", connection.guests(), first)
        verdict = "all agree" if len(self.problems) == before else "DISAGREE"
        counts = ", ".join(f"{room} {len(self.truth(room))}" for room in ROOMS)
        print(f"  [{self.checkpoints:2}] {label:<34} {verdict}   ({counts})", flush=True)

    async def show(self):
        for server in self.servers.values():
            if server.alive:
                rooms = [await server.admin.ask(f"list {room}") for room in ROOMS]
                members = (await server.admin.ask("members"))["payload"]
                print(f"  {server.language:<7} sees " + ", ".join(f"{room}: {answer['keys']} people ({answer['metas']})"
                      for room, answer in zip(ROOMS, rooms)) + f"; members {members}", flush=True)

    # ---- the story ----
    async def start(self):
        for language, server in self.servers.items():
            await server.start([other.address for other in self.servers.values() if other.alive and other is not server])
        await self.until(self.meshed, 10, "the members do not see each other")
        print("One cluster of three processes. Try:  nc 127.0.0.1 PORT  and say  join room:lobby you {\"mood\":\"fine\"}")
        for language, server in self.servers.items():
            print(f"  {language:<7} pid {server.process.pid:<8} rooms on port {server.port:<6} member at {server.address}")
        self.invite()
        for server in self.servers.values():
            await self.fill(server, CONNECTIONS // len(self.servers))

    def invite(self):
        for language, name in WITH_PAGE.items():
            print(f"  the page from {name + ':':<8} http://127.0.0.1:{self.servers[language].page}/", flush=True)

    async def meshed(self):
        for server in self.servers.values():
            if server.alive:
                members = (await server.admin.ask("members"))["payload"]
                if sorted(name for name, status in members.items() if status == "up") != sorted(
                        other.language for other in self.servers.values() if other.alive):
                    return False
        return True

    async def until(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not await condition():
            self.go_on()
            if time.monotonic() > end:
                raise RuntimeError(what)
            await asyncio.sleep(0.01)

    async def round(self, language):
        victim = self.servers[language]
        await self.churn(1.5)
        await asyncio.sleep(QUIET_S)
        await self.checkpoint(f"before the kill of {language}")
        await self.show()
        gone = [connection for connection in self.connections if connection.server is victim]
        numbers = {connection.joined[2]["n"] for connection in gone if connection.joined}
        self.killed = (language, time.monotonic(), {name: set(numbers) & self.watched(name) for name in self.servers})
        self.dropping = True
        await victim.kill()
        for connection in gone:
            self.connections.remove(connection)
            await connection.close()
        when = self.killed[1]
        await self.sleep_until(when + 1)
        for server in self.servers.values():
            if server is not victim and language in server.kills_seen:
                print(f"  {server.language:<7} saw {language} die after {server.kills_seen[language] * 1000:.0f} ms")
            elif server is not victim:
                self.problems.append(f"{server.language} did not see the kill of {language} within 1 s")
        await self.checkpoint(f"1 s after the kill of {language}")
        self.killed = None
        await self.churn(max(0.0, when + 5 - QUIET_S - time.monotonic()))
        await self.sleep_until(when + 5)
        await self.checkpoint(f"5 s after the kill of {language}")
        await victim.start([other.address for other in self.servers.values() if other.alive and other is not victim])
        await self.until(self.meshed, 10, f"{language} did not come back")
        await self.fill(victim, CONNECTIONS // len(self.servers))
        await self.churn(1.0)
        await asyncio.sleep(QUIET_S)
        await self.checkpoint(f"after the restart of {language}")

    async def visit(self):
        """after the story: a calm life for those who look at the page, until Ctrl-C"""
        print("\nOpen the pages. Their kill buttons work from now on; Ctrl-C ends it.")
        self.invite()
        while True:
            await self.churn(0.5, pause=0.4)
            if not self.asked.empty():
                await self.kill_asked(self.servers[self.asked.get_nowait()])

    async def kill_asked(self, victim):
        print(f"  {victim.language} is killed, as the page asked for", flush=True)
        await victim.kill()
        for connection in [connection for connection in self.connections if connection.server is victim]:
            self.connections.remove(connection)
            await connection.close()
        await self.churn(KILLED_S, pause=0.4)
        await victim.start([other.address for other in self.servers.values() if other.alive and other is not victim])
        await self.until(self.meshed, 10, f"{victim.language} did not come back")
        await self.fill(victim, CONNECTIONS // len(self.servers))
        print(f"  {victim.language} is back", flush=True)
        while not self.asked.empty():  # of the time in between
            self.asked.get_nowait()

    def watched(self, language):
        """serials of people in rooms in which the demo has a connection to that member"""
        rooms = {c.joined[0] for c in self.connections if c.joined and c.server.language == language}
        return {c.joined[2]["n"] for c in self.connections if c.joined and c.joined[0] in rooms}

    @staticmethod
    async def sleep_until(when):
        await asyncio.sleep(max(0.0, when - time.monotonic()))

    def table(self):
        print(f"\n  {'member':<8} {'language':<9} {'joins':>6} {'leaves':>7}  time to see the kills")
        for server in self.servers.values():
            seen = ", ".join(f"{dead} {seconds * 1000:.0f} ms" for dead, seconds in server.kills_seen.items())
            print(f"  {server.language:<8} {server.language:<9} {server.joins:>6} {server.leaves:>7}  {seen}")
        if self.latencies:
            values = sorted(self.latencies.values())
            print(f"\n  a join in one language seen in another: median {statistics.median(values) * 1000:.2f} ms, "
                  f"99 % {values[int(len(values) * 0.99)] * 1000:.2f} ms, {len(values)} joins seen")

    async def end(self):
        for connection in self.connections + [server.admin for server in self.servers.values() if server.admin]:
            await connection.close()
        await asyncio.gather(*(server.stop() for server in self.servers.values()))


async def main():
    parser = argparse.ArgumentParser(prog="ci/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="do not wait for anybody; exit 0 only if all agreed")
    parser.add_argument("--page", action="store_true", help="no story: the pages at once, until Ctrl-C")
    parser.add_argument("--break", dest="drop", action="store_true", help="drop one leave line: must exit 1")
    arguments = parser.parse_args()
    once = arguments.once or not (arguments.page or sys.stdin.isatty())
    demo = Demo(arguments.drop)
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, demo.interrupt, task)
    try:
        await demo.start()
        for language in [] if arguments.page else LANGUAGES:
            await demo.round(language)
        if not once:
            await demo.visit()
    except asyncio.CancelledError:
        pass  # Ctrl-C: the children are ended below
    except (RuntimeError, OSError, asyncio.TimeoutError) as error:
        demo.problems.append(f"{type(error).__name__}: {error}")
    finally:
        await demo.end()
    demo.table()
    for problem in demo.problems:
        print(problem, file=sys.stderr)
    print(f"\n{demo.checkpoints} checkpoints, {len(demo.problems)} problems")
    return 1 if demo.problems else 130 if demo.interrupted else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
