"""docs/operations.md and the dashboard name what metrics() gives, and nothing else."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/operations.md").read_text()


def of_stats():
    """name -> (kind, help) as Prometheus sees them"""
    table = (ROOT / "core/src/api/statistics.def").read_text()
    rows = re.findall(r'^STATISTIC\((\w+), (gauge|counter), "([^"]+)"\)$', table, re.M)
    return {f"libpresence_{name}{'_total' if kind == 'counter' else ''}": (kind, text) for name, kind, text in rows}


def of_members():
    source = (ROOT / "core/src/api/metrics.c").read_text()
    named = re.findall(r'(?:family|each_peer)\(p, "(\w+)"', source)
    return {f"libpresence_{name}" for name in named}


def test_the_table_is_that_of_the_library():
    documented = dict((name, (kind, text)) for name, kind, text in re.findall(r"^\| `(libpresence_\w+)` \| (gauge|counter) \| (.+) \|$", DOCUMENT, re.M))
    assert documented == of_stats()
    assert len(documented) > 20


def test_the_names_of_members_are_documented():
    documented = set(re.findall(r"^\| `(libpresence_\w+)` \| ", DOCUMENT, re.M)) - set(of_stats())
    assert documented == of_members()
    assert "libpresence_peer_lag" in documented


def test_the_dashboard_asks_for_what_exists():
    board = json.loads((ROOT / "examples/grafana/libpresence.json").read_text())
    asked = {name for panel in board["panels"] for target in panel["targets"] for name in re.findall(r"libpresence_\w+", target["expr"])}
    assert asked <= set(of_stats()) | of_members()
    assert len(asked) > 8
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
