"""docs/scenarios.md names every scenario once, and its scripts exist, cover what it says and are run."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAP = (ROOT / "docs/scenarios.md").read_text()
NUMBERS = [str(number) for number in range(1, 98)] + [f"R{number}" for number in range(1, 31)]
RUNNERS = {"engine", "c", "python", "node"}


def rows():
    return {cells[0]: cells[-1] for line in MAP.splitlines() if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) >= 3 and re.fullmatch(r"R?\d+", cells[0])}


def heads():
    for path in sorted((ROOT / "tests/scenarios").glob("*.scenario")):
        yield path.stem, {name: words.split() for name, words in re.findall(r"^(covers|runs) (.*)$", path.read_text(), re.M)}


def test_every_number_has_one_row():
    found = re.findall(r"^\| (R?\d+) \|", MAP, re.M)
    assert sorted(found) == sorted(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_row_and_scripts_agree(number):
    cell = rows()[number]
    names = re.findall(r"`([^`]+)`", cell)
    scripts = {name for name in names if re.match(r"[rsg]\d", name)}
    for name in names:
        if "/" in name and " " not in name:
            assert (ROOT / name).exists(), name
    assert scripts == {stem for stem, head in heads() if number in head["covers"]}
    assert names or "no test:" in cell


def test_the_client_scenarios_are_run():
    """84 to 97 have no script: the file their rows name has a scenario of each number"""
    names = {name for number, cell in rows().items() if number in NUMBERS[83:97] for name in re.findall(r"`([^`]+)`", cell)}
    [place] = names
    assert re.findall(r"^  '(\d+) ", (ROOT / place).read_text(), re.M) == NUMBERS[83:97]


def test_every_script_is_run_somewhere_and_everywhere_it_can():
    for stem, head in heads():
        assert head["covers"] and set(head["runs"]) & RUNNERS and set(head["runs"]) <= RUNNERS, stem
    for runner, test in {"engine": "tests/sim/test_scenarios.c", "python": "python/tests/test_scenarios.py", "node": "node/test/scenarios.test.js"}.items():
        text = (ROOT / test).read_text()
        assert ".scenario" in text and runner in text
        assert sum(runner in head["runs"] for _, head in heads()) > 20
