"""libpresence.metrics(): a text that Prometheus' own parser takes, with every counter of stats()."""

from __future__ import annotations

from typing import Any

import pytest
from observing import LOCAL
from prometheus_client.parser import text_string_to_metric_families

import libpresence
from libpresence import Presence
from libpresence.testing import Cluster


def samples(text: str) -> dict[tuple[str, str, str], float]:
    """(name, member, third label) -> value; a series that is there twice is an error."""
    found: dict[tuple[str, str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            rest = {name: value for name, value in sample.labels.items() if name not in ("cluster", "member")}
            assert len(rest) <= 1
            key = (sample.name, sample.labels["member"], next(iter(rest.values()), ""))
            assert key not in found
            found[key] = sample.value
    return found


def test_every_counter_and_every_peer() -> None:
    with Cluster(seed=1) as cluster:
        a, b = cluster.start("a"), cluster.start('b "x" \\ y')
        owner = a.owner()
        a.track(owner, "room", "u1", {})
        cluster.settle()
        text = libpresence.metrics(a, b)
        assert text.index("# TYPE libpresence_entries gauge") < text.index("libpresence_entries{")
        found = samples(text)
        for name, value in a.stats().items():
            gauge, counter = found.get((f"libpresence_{name}", "a", "")), found.get((f"libpresence_{name}_total", "a", ""))
            assert (gauge is None) != (counter is None), name
            if name in ("entries", "topics", "members", "joins", "leaves", "updates"):
                assert (gauge if counter is None else counter) == value, name
        assert found["libpresence_info", "a", libpresence.__version__] == 1
        assert found["libpresence_peers", "a", "up"] == 1
        assert found["libpresence_peer_entries", 'b "x" \\ y', "a"] == 1
        assert found["libpresence_peer_lag", "a", 'b "x" \\ y'] == 0
        owner.close()


def test_all_that_run_and_none_that_has_stopped(run: Any) -> None:
    async def main() -> None:
        first, second = await Presence(**LOCAL, name="first").start(), await Presence(**LOCAL, name="second").start()
        assert {"first", "second"} <= {member for _, member, _ in samples(libpresence.metrics())}
        await first.stop()
        names = {member for _, member, _ in samples(libpresence.metrics())}
        assert "second" in names and "first" not in names
        assert {member for _, member, _ in samples(libpresence.metrics(first, second))} == {"second"}
        await second.stop()
        assert libpresence.metrics(second) == ""

    run(main())


def test_what_is_wrong() -> None:
    with pytest.raises(libpresence.WrongState):
        libpresence.metrics(Presence(**LOCAL))
    with pytest.raises(libpresence.InvalidArgument):
        libpresence.metrics("a")  # type: ignore[arg-type]
