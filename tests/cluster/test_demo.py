"""However the demo ends, its children end with it."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
from conftest import until

ROOT = pathlib.Path(__file__).resolve().parents[2]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("end, code", [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_its_end_ends_the_children(end, code):
    with subprocess.Popen([sys.executable, "ci/demo.py", "--once"], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True) as demo:
        pids = []
        while len(pids) < 3:
            line = demo.stdout.readline()
            assert line, "the demo ended by itself"
            pids += map(int, re.findall(r" pid (\d+)", line))
        assert all(map(alive, pids))
        demo.send_signal(end)
        rest = demo.communicate(timeout=30)[0]
        assert demo.returncode == code, rest
        until(lambda: not any(map(alive, pids)), "all children ended")
