"""The examples to copy run as they are, each as two servers of one cluster, and are short."""

import contextlib
import itertools
import json
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

ROOT = pathlib.Path(__file__).resolve().parents[2]
UVICORN = [sys.executable, "-m", "uvicorn", "--port", "0"]
EXAMPLES = {
    "fastapi": [*UVICORN, "app:app"],
    "flask-threads": [sys.executable, "app.py"],
    "django": [*UVICORN, "app:application"],
    "node-ws": ["node", "server.mjs"],
}
WITH_US = ["setpriv", "--pdeathsig", "KILL"]  # it ends with the test, however that ends
DEADLINE_S = 20


def until(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.01)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """a copy of the example, as somebody would make it, and its process"""

    def __init__(self, example, folder, **options):
        self.example = example
        folder.mkdir()
        for file in (ROOT / "examples" / example).iterdir():
            if file.is_file():
                (folder / file.name).write_bytes(file.read_bytes())
        modules = folder / "node_modules"
        modules.mkdir()
        (modules / "libpresence").symlink_to(ROOT / "node")
        (modules / "ws").symlink_to(ROOT / "node/node_modules/ws")
        environment = {**os.environ, "PORT": "0", "PYTHONUNBUFFERED": "1", "LIBPRESENCE_CLUSTER": "examples",
                       **{f"LIBPRESENCE_{name.upper()}": value for name, value in options.items()}}
        self.log = queue.SimpleQueue()
        self.clients = contextlib.ExitStack()
        self.process = subprocess.Popen([*WITH_US, *EXAMPLES[example]], cwd=folder, env=environment, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.said = ""

    def ready(self):
        self.url = self.heard(r"http://(127\.0\.0\.1:[1-9]\d*)").group(1)
        return self

    def read(self):
        for line in self.process.stdout:
            self.log.put(line)
        self.log.put(None)

    def heard(self, pattern):
        while not (found := re.search(pattern, self.said)):
            line = self.log.get(timeout=DEADLINE_S)
            assert line is not None, f"the server ended:\n{self.said}"
            self.said += line
        return found

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.url}{path}", timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def statuses(self):
        return {key: [meta["status"] for meta in entry["metas"]] for key, entry in self.get("/rooms/lobby").items()}

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.clients.close()
            self.reader.join()
            self.process.stdout.close()
        while (line := self.log.get()) is not None:
            self.said += line
        assert self.process.returncode in (0, -signal.SIGTERM), self.said  # uvicorn ends by the signal itself
        assert "Traceback" not in self.said and "Warning" not in self.said, self.said


class Plain:
    """a client of the example's own WebSocket"""

    def __init__(self, server, name):
        self.socket = server.clients.enter_context(connect(f"ws://{server.url}/rooms/lobby/{name}"))

    def event(self):
        message = json.loads(self.socket.recv(timeout=DEADLINE_S))
        return message["event"], message["payload"]

    def say(self, status):
        self.socket.send(json.dumps({"status": status}))

    def nonsense(self):
        self.socket.send("[")


class Phoenix(Plain):
    """a client as a browser page has it"""

    def __init__(self, server, name):
        token = server.get(f"/token/{name}")["token"] if server.example == "django" else ""
        self.socket = server.clients.enter_context(connect(f"ws://{server.url}/socket/websocket?vsn=2.0.0&token={token}"))
        self.ref = itertools.count(2)
        self.send("1", "phx_join", {"name": name})
        assert self.event()[1]["status"] == "ok"

    def send(self, ref, event, payload):
        self.socket.send(json.dumps(["1", ref, "room:lobby", event, payload]))

    def event(self):
        return json.loads(self.socket.recv(timeout=DEADLINE_S))[3:]

    def say(self, status):
        self.send(str(next(self.ref)), "status", {"status": status})


@pytest.fixture
def start(tmp_path):
    """start(example) opens two servers of one cluster"""
    with contextlib.ExitStack() as stack:

        def start_servers(example):
            address = f"127.0.0.1:{free_port()}"
            servers = []
            for name, options in (("a", {"listen": address}), ("b", {"join": address})):
                servers.append(Server(example, tmp_path / name, **options))
                stack.callback(servers[-1].end)
            return [server.ready() for server in servers]

        yield start_servers


def next_of(client, kind, what):
    """the next event of this kind"""
    while True:
        event, payload = client.event()
        if event == kind and what(payload):
            return payload


def vanish(client):
    """the connection ends without a word of WebSocket"""
    client.socket.socket.shutdown(socket.SHUT_RDWR)


def use(a, b, client):
    """two people on two servers see each other come, change and vanish; what is no status ends its sender alone"""
    ada = client(a, "t-ada")
    assert "t-ada" in next_of(ada, "presence_state", lambda _: True) or next_of(ada, "presence_diff", lambda diff: "t-ada" in diff["joins"])
    bob = client(b, "t-bob")
    next_of(ada, "presence_diff", lambda diff: "t-bob" in diff["joins"])
    until(lambda: b.statuses() == {"t-ada": ["online"], "t-bob": ["online"]}, "both are on the second server")
    ada.say("away")
    next_of(bob, "presence_diff", lambda diff: [meta["status"] for meta in diff["joins"].get("t-ada", {"metas": []})["metas"]] == ["away"])
    vanish(bob)
    next_of(ada, "presence_diff", lambda diff: "t-bob" in diff["leaves"])
    assert a.statuses() == {"t-ada": ["away"]}
    return ada


@pytest.mark.parametrize("example", ["fastapi", "flask-threads", "node-ws"])
def test_plain_websockets(example, start):
    a, b = start(example)
    ada = use(a, b, Plain)
    ada.nonsense()
    until(lambda: ada.socket.protocol.close_rcvd, "what is no JSON closes the socket")
    assert ada.socket.protocol.close_rcvd.reason.startswith("not a status")
    until(lambda: a.statuses() == b.statuses() == {}, "nobody is left")


@pytest.mark.parametrize("example", ["fastapi", "django"])
def test_phoenix_clients(example, start):
    a, b = start(example)
    use(a, b, Phoenix)
    if example == "django":
        with pytest.raises(InvalidStatus, match="403"), connect(f"ws://{a.url}/socket/websocket?vsn=2.0.0&token=forged"):
            pass


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_short(example):
    for file in (ROOT / "examples" / example).iterdir():
        assert file.is_dir() or len(file.read_text().splitlines()) < 80, file
