"""Runs one script of tests/scenarios over the public API (tests/scenarios/README.md has the language)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from libpresence import Presence, PresenceError
from libpresence.testing import AsyncCluster, SettleTimeout

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
ITEM = re.compile(r"(?P<sign>\+\+|--|[+~-])?(?P<key>[^=]+)=(?P<meta>[^<(@^]*)(?:<(?P<old>[^(@^]*))?(?:\((?P<reason>\w+)\))?(?:@(?P<ref>[^^]*))?(?:\^(?P<prev>.*))?$")
SIGNS = {"join": "+", "update": "~", "leave": "-"}


class ScenarioError(AssertionError):
    pass


@dataclass
class Command:
    line: int
    text: str
    block: list[Command] = field(default_factory=list)


class Script:
    """Heads and commands of a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.covers, self.runs, self.commands = path, [""], [""], list[Command]()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            text = re.sub(r"(^|\s)#.*", "", line).rstrip()
            head, _, rest = text.partition(" ")
            if head in ("covers", "runs"):
                setattr(self, head, rest.split())
            elif head and head != "seeds":
                self.commands.append(Command(number, text))
            elif text.strip() and head == "":
                self.commands[-1].block.append(Command(number, text.strip()))


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


Item = dict[str, str]


def compact(meta: Any) -> str:
    return json.dumps(meta, separators=(",", ":"), ensure_ascii=False)


def parse(text: str) -> Item:
    match = ITEM.fullmatch(text)
    if match is None:
        raise ScenarioError(f"cannot read {text!r}")
    return {name: value for name, value in match.groupdict().items() if value is not None}


def of_change(change: Any) -> Item:
    sign = SIGNS[change.kind] * (2 if change.first or change.last else 1)
    item = {"sign": sign, "key": change.key, "meta": compact(change.meta), "ref": change.ref, "prev": change.prev_ref or ""}
    if change.kind == "update":
        item["old"] = compact(change.prev_meta)
    return item | ({"reason": change.reason} if change.reason else {})


def of_presences(presences: dict[str, Any]) -> list[Item]:
    items = []
    for key, entry in presences.items():
        for meta in entry["metas"]:
            user = {name: value for name, value in meta.items() if not name.startswith("phx_ref")}
            items.append({"key": key, "meta": compact(user), "ref": meta["phx_ref"], "prev": meta.get("phx_ref_prev", "")})
    return items


def meets(expected: Item, actual: Item) -> bool:
    if expected.get("sign") != actual.get("sign"):
        return False
    return all(value in ("*", actual.get(name, "")) or (value == "none" and not actual.get(name)) for name, value in expected.items())


def match(expected: list[Item], actual: list[Item], in_order: bool = False) -> bool:
    if len(expected) != len(actual):
        return False
    if in_order:
        return all(map(meets, expected, actual))
    left = list(actual)
    for item in sorted(expected, key=lambda one: not ("ref" in one or "prev" in one)):
        found = next((index for index, other in enumerate(left) if meets(item, other)), None)
        if found is None:
            return False
        del left[found]
    return True


class Seen(Presence):
    """A member that writes down what its callbacks are given, and whose callbacks misbehave as told."""

    fetching = handling = ""
    released: asyncio.Event
    diffs: list[tuple[str, list[Item]]]
    metas: list[tuple[str, list[Item]]]

    async def handle_diff(self, diff: Any) -> None:
        for topic, sides in diff.items():
            self.diffs.append((topic, [of_change(change) for change in sides.changes]))
        if self.handling == "fails":
            raise ValueError("as told")

    async def handle_metas(self, topic: str, diff: Any, presences: dict[str, Any]) -> None:
        self.metas.append((topic, of_presences(presences)))


class Fetching(Seen):
    async def fetch(self, topic: str, presences: dict[str, Any]) -> Any:
        if self.fetching == "fails":
            raise ValueError("as told")
        if self.fetching == "nonsense":
            return 17
        return {key: {**entry, "name": f"name of {key}"} for key, entry in presences.items()}


class Runner:
    """One script over one cluster."""

    def __init__(self, script: Script, cluster: AsyncCluster) -> None:
        self.script, self.cluster = script, cluster
        self.members: dict[str, Any] = {}
        self.owners: dict[tuple[str, str], Any] = {}
        self.variables: dict[str, str] = {}
        self.streams: dict[str, tuple[Any, asyncio.Task[None], list[Any]]] = {}
        self.within = 0.0
        self.block: list[Command] = []
        self.text = ""

    # ---- the runner's own words ----

    async def run(self) -> None:
        try:
            for command in self.script.commands:
                await self.command(command)
        finally:
            for _, task, _ in self.streams.values():
                task.cancel()

    def fill_in(self, text: str) -> str:
        return re.sub(r"[$%]\w+", lambda name: self.variables.get(name[0], name[0]), text)

    async def command(self, command: Command) -> None:
        words = self.fill_in(command.text).split()
        refused = target = None
        self.text, self.block, self.within = command.text, command.block, 0.0
        if words[0] == "refused":
            refused, words = words[1], words[2:]
        if len(words) > 2 and words[-2] == "as" and words[0] != "subscribe":
            target, words = command.text.split()[-1], words[:-2]
        if len(words) > 2 and words[-2] == "within":
            self.within, words = seconds(words[-1]), words[:-2]
        try:
            if words[0] == "repeat":
                await self.repeat(int(words[1]), command.block)
                return
            verb: Callable[..., Awaitable[Any]] | None = getattr(self, f"do_{words[0]}", None)
            if verb is None:
                raise ScenarioError(f"no command {words[0]!r}")
            result = await verb(*words[1:])
        except ScenarioError as error:
            text = str(error)
            raise ScenarioError(text if text.startswith(str(self.script.path)) else f"{self.script.path}:{command.line}: {text}") from None
        except PresenceError as error:
            name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower().removeprefix("tracker_")
            if name != refused:
                raise ScenarioError(f"{self.script.path}:{command.line}: {command.text}: {error!r}") from error
            return
        if refused is not None:
            raise ScenarioError(f"{self.script.path}:{command.line}: expected {refused}, it succeeded")
        if target is not None:
            self.variables[target] = result

    async def repeat(self, times: int, block: list[Command]) -> None:
        for number in range(1, times + 1):
            self.variables["%n"] = str(number)
            for command in block:
                await self.command(command)

    # ---- members, faults, time ----

    async def do_start(self, name: str, *words: str) -> None:
        options: dict[str, Any] = {}
        fetching = handling = ""
        for word in words:
            option, _, value = word.partition("=")
            if option == "fetch":
                fetching = value
            elif option == "handler":
                handling = value
            elif re.fullmatch(r"\d+(ms|s|m|h)", value):
                options[f"{option}_ms"] = round(seconds(value) * 1000)
            else:
                options[option] = int(value) if value.isdigit() else value
        cls = Fetching if fetching else Seen
        named = options.pop("name", name)
        old = self.members.get(name)
        member = cls(name=named, **options)
        member.fetching, member.handling, member.diffs, member.metas = fetching, handling, [], []
        if old is not None:
            member.diffs, member.metas = old.diffs, old.metas
        self.cluster.add(member)
        await member.start()
        self.members[name] = member
        self.owners = {key: owner for key, owner in self.owners.items() if key[0] != name}

    async def do_crash(self, name: str) -> None:
        await self.cluster.crash(self.members[name])

    async def do_vanish(self, name: str) -> None:
        await self.cluster.crash(self.members[name], silent=True)

    async def do_leave(self, name: str) -> None:
        await self.cluster.stop(self.members[name])

    do_stop = do_leave

    async def do_pause(self, name: str) -> None:
        self.cluster.pause(self.members[name])

    async def do_resume(self, name: str) -> None:
        self.cluster.resume(self.members[name])

    async def do_partition(self, *words: str) -> None:
        groups: list[list[Any]] = [[]]
        for word in words:
            if word == "|":
                groups.append([])
            else:
                groups[-1].append(self.members[word])
        self.cluster.partition(*groups)

    async def do_split(self, a: str, b: str) -> None:
        self.cluster.block(self.members[a], self.members[b])

    async def do_oneway(self, a: str, _arrow: str, b: str) -> None:
        self.cluster.block(self.members[a], self.members[b], both=False)

    async def do_heal(self) -> None:
        self.cluster.heal()

    async def do_run(self, duration: str) -> None:
        await self.cluster.run(seconds(duration))

    async def do_settle(self) -> None:
        try:
            await self.cluster.settle(self.within or 60)
        except SettleTimeout as error:
            raise ScenarioError(f"not settled: {error}") from None

    async def do_clear(self) -> None:
        for member in self.members.values():
            member.diffs.clear()
            member.metas.clear()
        await self.turn()
        for _, _, events in self.streams.values():
            events.clear()

    # ---- local calls ----

    def owner(self, member: str, name: str) -> Any:
        if (member, name) not in self.owners:
            self.owners[member, name] = self.members[member].owner()
        return self.owners[member, name]

    async def do_owner(self, member: str, name: str, lease: str = "") -> None:
        options = {"lease": seconds(lease.partition("=")[2])} if lease else {}
        self.owners[member, name] = self.members[member].owner(**options)

    async def do_touch(self, member: str, owner: str) -> None:
        self.owner(member, owner).touch()

    async def do_close(self, member: str, owner: str) -> None:
        self.owner(member, owner).close()

    async def do_track(self, member: str, owner: str, topic: str, key: str, meta: str = "{}") -> Any:
        return self.members[member].track(self.owner(member, owner), topic, key, json.loads(meta))

    async def do_update(self, member: str, owner: str, topic: str, key: str, meta: str) -> Any:
        return self.members[member].update(self.owner(member, owner), topic, key, json.loads(meta))

    async def do_merge(self, member: str, owner: str, topic: str, key: str, more: str) -> Any:
        return self.members[member].update(self.owner(member, owner), topic, key, lambda meta: {**meta, **json.loads(more)})

    async def do_many(self, member: str, owner: str, topic: str, prefix: str, count: str, meta: str = "{}") -> None:
        items = [(topic, f"{prefix}{number}", json.loads(meta)) for number in range(1, int(count) + 1)]
        self.members[member].track_many(self.owner(member, owner), items)

    async def do_untrack(self, member: str, owner: str, *where: str) -> None:
        self.members[member].untrack(self.owner(member, owner), *where)

    # ---- subscriptions ----

    async def do_subscribe(self, member: str, topic: str, _as: str, name: str) -> None:
        subscription = self.members[member].subscribe(topic)
        events: list[Any] = []

        async def collect() -> None:
            async for event in subscription:
                events.append(event)

        self.streams[name] = subscription, asyncio.ensure_future(collect()), events
        await self.turn()

    async def do_unsubscribe(self, name: str) -> None:
        await self.streams[name][0].aclose()
        await self.turn()

    async def turn(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    # ---- expectations ----

    def check(self, good: bool, expected: Any, got: Any) -> None:
        if not good:
            raise ScenarioError(f"{self.text}\n  expected {expected}\n  got      {got}")

    async def expect_when(self, condition: Callable[[], Awaitable[tuple[bool, Any]]], expected: Any) -> None:
        good, got = await condition()

        async def look() -> bool:
            nonlocal good, got
            good, got = await condition()
            return good

        if not good and self.within:
            try:
                await self.cluster.until(look, self.within)
            except SettleTimeout:
                pass
        self.check(good, expected, got)

    async def do_expect(self, *words: str) -> None:
        if words[0] == "agreed":
            await self.expect_agreed()
        elif words[0] == "ref":
            self.check((words[1] == words[3]) == (words[2] == "=="), words[2], words)
        elif words[0] in self.streams:
            await self.turn()
            events = self.streams[words[0]][2]
            self.transcript([self.of_event(event) for event in events])
            events.clear()
        elif ":" in words[1]:
            await self.expect_list(words[0], words[1], words[2:])
        else:
            await getattr(self, f"expect_{words[1]}")(words[0], *words[2:])

    def of_event(self, event: Any) -> tuple[str, list[Item]]:
        if event.event == "presence_state":
            return "state", of_presences(event.payload)
        return "", [of_change(change) for change in event.changes]

    async def expect_list(self, member: str, topic: str, words: tuple[str, ...]) -> None:
        expected = [parse(word) for word in words if word != "nobody"]

        async def condition() -> tuple[bool, Any]:
            actual = of_presences(await self.members[member].list(topic))
            return match(expected, actual), actual

        await self.expect_when(condition, expected)

    async def expect_key(self, member: str, topic: str, key: str, *metas: str) -> None:
        entry = await self.members[member].get_by_key(topic, key)
        actual = of_presences({key: entry}) if entry else []
        expected = [parse(f"{key}={meta}") for meta in metas]
        self.check(match(expected, actual, True), expected, actual)

    async def expect_listed(self, member: str, topic: str, *words: str) -> None:
        presences = await self.members[member].list(topic)
        got = sorted(key + "".join(f"&{name}" for name in entry if name != "metas") for key, entry in presences.items())
        self.check(got == sorted(words), sorted(words), got)

    async def expect_count(self, member: str, topic: str, keys: str, metas: str) -> None:
        one = self.members[member]
        got = one.count(topic), one.count(topic, metas=True)
        self.check(got == (int(keys), int(metas)), (keys, metas), got)

    async def expect_sees(self, member: str, *words: str) -> None:
        expected = dict(word.split("=") for word in words)

        async def condition() -> tuple[bool, Any]:
            status = {other.name: other.status for other in self.members[member].members()}
            got = {name: status.get(name, "unknown") for name in expected}
            return got == expected, got

        await self.expect_when(condition, expected)

    async def expect_synced(self, member: str, expected: str) -> None:
        one = self.members[member]
        got = "no" if not one.is_synced else {"synced": "yes"}.get(value := await one.synced(0), value)
        self.check(got == expected, expected, got)

    async def expect_agreed(self) -> None:
        texts = {}
        for name, member in self.members.items():
            if member in self.cluster.members:
                lists = {topic: await member.list(topic) for topic in member.topics()}
                for presences in lists.values():
                    for entry in presences.values():
                        for meta in entry["metas"]:
                            meta.pop("phx_ref_prev", None)
                texts[name] = json.dumps(lists, sort_keys=True)
        self.check(len(set(texts.values())) <= 1, "the same everywhere", texts)

    async def expect_diffs(self, member: str) -> None:
        self.transcript(self.members[member].diffs)
        self.members[member].diffs.clear()

    async def expect_metas(self, member: str) -> None:
        self.transcript(self.members[member].metas)
        self.members[member].metas.clear()

    def transcript(self, actual: list[tuple[str, list[Item]]]) -> None:
        """Lines of one head are in order."""
        expected = []
        for command in self.block:
            words = self.fill_in(command.text).split()
            head = "" if ITEM.fullmatch(words[0]) else words.pop(0)
            expected.append((head, [parse(word) for word in words if word != "nobody"]))
        good = len(expected) == len(actual)
        for head in {head for head, _ in expected}:
            want = [items for other, items in expected if other == head]
            have = [items for other, items in actual if other == head]
            good &= len(want) == len(have) and all(map(match, want, have))
        shown = "".join(f"\n    {head} {' '.join(map(str, items))}" for head, items in actual)
        self.check(good, "".join(f"\n    {command.text}" for command in self.block) or "none", shown or "none")
