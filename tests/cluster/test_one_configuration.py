"""Four members from ONE configuration: a port range, the same seeds, default names."""

import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys

import pytest
from conftest import until

HERE = pathlib.Path(__file__).resolve().parent


def free_range(size):
    """a range of ports that were free a moment ago"""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        taken = 0
        for port in range(first, first + size):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    taken += 1
        if first + size < 65536 and not taken:
            return f"127.0.0.1:{first}-{first + size - 1}"
    raise AssertionError("no free range of ports")


@pytest.mark.parametrize("method", ["spawn", "fork", "cluster"])
def test_one_roster_and_a_kill_hides_only_its_own(method):
    command = ["node", str(HERE / "workers.mjs")] if method == "cluster" else [sys.executable, str(HERE / "workers.py")]
    process = subprocess.Popen([*command, method, free_range(6)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(what):
        process.stdin.write(what + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], 20)
        assert ready, f"no answer to {what}"
        return json.loads(process.stdout.readline())

    try:
        pids = ask("pids")
        everyone = sorted(map(str, pids))
        until(lambda: ask("list") == [everyone] * 4, lambda: ask("list"), 20)
        os.kill(pids[1], signal.SIGKILL)
        left = [pid for pid in everyone if pid != str(pids[1])]
        until(lambda: [seen for seen in ask("list") if seen is not None] == [left] * 3, lambda: ask("list"), 20)
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()
