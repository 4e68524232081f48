"""Random histories: every consumer, quick or slow, always ends with what list gives, and what list gives is right."""

from __future__ import annotations

import asyncio
from typing import Any

from observing import DEADLINE, LOCAL, Fold, by_ref
from hypothesis import given, settings
from hypothesis import strategies as st

import libpresence
from libpresence import Presence
from libpresence._mirror import Mirror, sides_of

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["track", "update", "untrack", "untrack owner", "close", "turn", "settle", "read slowly"]),
        st.integers(0, 2),  # owner
        st.integers(0, 1),  # topic
        st.integers(0, 2),  # key
        st.integers(0, 3),  # value
    ),
    max_size=60,
)


class Model:
    """The obvious implementation: a dict."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, str, str], dict[str, Any]] = {}

    def topic(self, topic: str) -> dict[str, list[dict[str, Any]]]:
        shown: dict[str, list[dict[str, Any]]] = {}
        for (_, of, key), meta in self.held.items():
            if of == topic:
                shown.setdefault(key, []).append(meta)
        return shown


async def apply(users: Presence, owners: list[Any], model: Model, step: Any) -> None:
    action, owner, topic_number, key_number, value = step
    topic, key, meta = f"t{topic_number}", str(key_number), {"v": value}
    entry = (owner, topic, key)
    if action == "track":
        try:
            owners[owner].track(topic, key, meta)
            assert entry not in model.held
            model.held[entry] = meta
        except libpresence.AlreadyTracked:
            assert entry in model.held
    elif action == "update":
        try:
            owners[owner].update(topic, key, meta)
            assert entry in model.held
            model.held[entry] = meta
        except libpresence.NotTracked:
            assert entry not in model.held
    elif action == "untrack":
        assert owners[owner].untrack(topic, key) == (model.held.pop(entry, None) is not None)
    elif action in ("untrack owner", "close"):
        mine = [held for held in model.held if held[0] == owner]
        if action == "close":
            owners[owner].close()
            owners[owner] = users.owner()
        else:
            assert owners[owner].untrack() == len(mine)
        for held in mine:
            del model.held[held]
    elif action == "turn":
        await asyncio.sleep(0)
    elif action == "settle":
        await users.settle()


def plain(presences: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {
        key: [{name: value for name, value in meta.items() if not name.startswith("phx_")} for meta in entry["metas"]]
        for key, entry in presences.items()
    }


def unordered(metas: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    return {key: sorted(map(str, some)) for key, some in metas.items()}


async def read(events: Any, fold: Fold, wanted: Any, most: int) -> None:
    for _ in range(most):
        if fold.states and fold.state == wanted:
            return
        fold.take(await asyncio.wait_for(events.__anext__(), DEADLINE))


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([1, 3, 1000]), st.booleans())
def test_every_view_ends_with_list(steps: Any, queue: int, fetched: bool) -> None:
    async def main() -> None:
        told: dict[str, Fold] = {}
        shown: dict[str, Any] = {}

        async def handle_metas(topic: str, diff: Any, presences: Any) -> None:
            told.setdefault(topic, Fold()).diff(diff)
            assert by_ref(presences) == told[topic].state
            shown[topic] = presences

        async def fetch(topic: str, presences: Any) -> Any:
            await asyncio.sleep(0)
            return {key: {**entry, "extra": key} for key, entry in presences.items()}

        hooks: dict[str, Any] = {"handle_metas": handle_metas, **({"fetch": fetch} if fetched else {})}
        async with Presence(**LOCAL, callback_queue=queue, **hooks) as users:
            await users.synced(DEADLINE)
            await users.settle()
            owners = [users.owner() for _ in range(3)]
            model, fold = Model(), Fold()
            async with users.subscribe("t0") as events:
                for step in steps:
                    await apply(users, owners, model, step)
                    if step[0] == "read slowly":
                        await read(events, fold, by_ref(await users.list("t0")), 1)
                    for topic in ("t0", "t1"):
                        assert unordered(plain(await users.list(topic))) == unordered(model.topic(topic))
                await users.settle()
                for topic in users.topics():
                    assert shown[topic] == await users.list(topic)
                wanted = by_ref(await users.list("t0"))
                while not (fold.states and fold.state == wanted):
                    await read(events, fold, wanted, 1)
                if queue == 1000:
                    assert (fold.states, fold.resyncs) == (1, 0)

    asyncio.run(main())


@settings(max_examples=100, deadline=None)
@given(STEPS, STEPS)
def test_the_difference_of_two_states_leads_from_one_to_the_other(before: Any, after: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            owners, model, fold = [users.owner() for _ in range(3)], Model(), Fold()
            mirror = Mirror(lambda member: member)
            for steps in (before, after):
                for step in steps:
                    await apply(users, owners, model, (step[0], step[1], 0, *step[3:]))
                entries = users.entries("t0")
                online = set(fold.state)
                changes = mirror.difference("t0", entries)
                sides = sides_of(changes)
                fold.diff(sides)
                mirror.apply(changes, sides["joins"])
                assert by_ref(mirror.presences()) == fold.state == by_ref(await users.list("t0"))
                assert {change.key for change in changes if change.first} == set(fold.state) - online
                assert {change.key for change in changes if change.last} == online - set(fold.state)

    asyncio.run(main())
