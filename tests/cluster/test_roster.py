"""The three roster servers answer the same lines alike."""

import json
import pathlib
import socket
import struct
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMANDS = {"c": [str(ROOT / "build/roster")], "python": [sys.executable, str(ROOT / "examples/roster.py")],
            "node": ["node", str(ROOT / "examples/roster.mjs")]}

WITH_US = ["setpriv", "--pdeathsig", "KILL"]  # it ends with the test, however that ends


@pytest.fixture(params=COMMANDS)
def port(request):
    with subprocess.Popen([*WITH_US, *COMMANDS[request.param], "0", "name=r"], stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline().split()[1])
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture
def line(port):
    """line(text) says one line and gives the next answer"""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("r") as lines:
        def say(text):
            connection.sendall((text + "\n").encode())
            return json.loads(lines.readline())
        yield say


def test_a_person_comes_changes_and_goes(line):
    state = line('join lobby ann {"mood":"fine"}')
    assert (state["topic"], state["event"]) == ("lobby", "presence_state")
    assert state["payload"]["ann"]["metas"][0]["mood"] == "fine"
    diff = line('update {"mood":"tired"}')
    assert diff["payload"]["joins"]["ann"]["metas"][0]["mood"] == "tired"
    assert diff["payload"]["leaves"]["ann"]["metas"][0]["mood"] == "fine"
    answer = line("list lobby")
    assert (answer["keys"], answer["metas"], list(answer["payload"])) == (1, 1, ["ann"])
    assert line("leave\nlist lobby")["payload"] == {}
    assert line("members")["payload"] == {"r": "up"}


@pytest.mark.parametrize("text", ["", "join", "join lobby", "dance", "update", "list", "constructor x", "update {}", "join r n {", "join r n 7"])
def test_a_bad_line_is_answered_and_harms_nothing(line, text):
    answer = line(text)
    assert answer["event"] == "error" and answer["payload"]["reason"]
    assert line("members")["payload"] == {"r": "up"}


def test_a_connection_that_is_reset_leaves_and_ends_nothing_else(port, line):
    for _ in range(20):  # a reset is told in several ways, by when it comes
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(b"join lobby ann\n")
            connection.recv(1)
    deadline = time.monotonic() + 10
    while line("list lobby")["payload"] and time.monotonic() < deadline:
        pass
    assert line("list lobby")["payload"] == {}
