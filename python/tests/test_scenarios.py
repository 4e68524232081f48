"""The scripts of tests/scenarios that say `runs … python`, over real members in virtual time; each file one test."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run
from libpresence.testing import AsyncCluster
from scenario import Runner, Script

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "scenarios"
SCRIPTS = [script for script in map(Script, sorted(FOLDER.glob("*.scenario"))) if "python" in script.runs]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.path.stem)
def test_scenario(script: Script, run_once: Run) -> None:
    async def main() -> None:
        for seed in range(2):
            async with AsyncCluster(seed=seed, latency=(0.001, 0.001)) as cluster:
                await Runner(script, cluster).run()

    run_once(main())


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) > 20
