"""The page of the demo, as the Python and the Node server serve it: its files, its channels, its kill button."""

import json
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest
from conftest import DEADLINE_S, until
from websockets.sync.client import connect

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVERS = {"python": [sys.executable, "examples/roster.py"], "node": ["node", "examples/roster.mjs"]}
LANGUAGES = list(SERVERS)
ADA = {"name": "Ada", "status": "online", "typing": False, "note": "", "device": "Test"}


class Server:
    def __init__(self, language, *settings):
        self.language, self.lines = language, queue.SimpleQueue()
        self.process = subprocess.Popen([*SERVERS[language], "0", f"name={language}", "cluster=page", "listen=127.0.0.1:0", "page=0",
                                         *settings], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stdout])
        self.reader.start()
        _, _, self.address, self.page = self.lines.get(timeout=2 * DEADLINE_S).split()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page}{path}", timeout=DEADLINE_S) as answer:
            return answer.headers, answer.read()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.reader.join()
            self.process.stdout.close()
        assert self.process.returncode == 0


@pytest.fixture(scope="module")
def servers():
    first = Server("python")
    try:
        second = Server("node", f"join={first.address}")
        yield {"python": first, "node": second}
        second.end()
    finally:
        first.end()


class Page:
    """what the page's client does, frame by frame"""

    def __init__(self, server, topic, params=None):
        self.topic, self.events = topic, []
        self.connection = connect(f"ws://127.0.0.1:{server.page}/socket/websocket?vsn=2.0.0", origin=f"http://127.0.0.1:{server.page}")
        self.params = params or {}

    def __enter__(self):
        self.socket = self.connection.__enter__()
        self.joined = self.ask("phx_join", self.params)
        return self

    def __exit__(self, *error):
        self.connection.__exit__(*error)

    def next(self):
        return json.loads(self.socket.recv(timeout=DEADLINE_S))[3:]

    def ask(self, event, payload):
        self.socket.send(json.dumps(["1", "1", self.topic, event, payload]))
        while True:
            name, answer = self.next()
            if name == "phx_reply":
                return answer
            self.events.append((name, answer))

    def until(self, condition):
        while not condition(*(event := self.events.pop(0) if self.events else self.next())):
            pass
        return event[1]


def test_both_serve_the_same_files(servers):
    for path in ("/", "/page.css", "/page.js", "/people.js", "/icon.svg", "/phoenix.mjs"):
        (head, python), (other, node) = servers["python"].get(path), servers["node"].get(path)
        assert python == node and len(python) > 100
        for name in ("content-type", "content-security-policy", "x-content-type-options", "cache-control"):
            assert head[name] == other[name] and head[name], (path, name)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", ["/serve.py", "/../roster.py", "/page", "/%2e%2e/roster.py", "/socket/websocket/x"])
def test_nothing_else_is_served(servers, language, path):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        servers[language].get(path)


@pytest.mark.parametrize("language", LANGUAGES)
def test_somebody_is_seen_on_the_other_server(servers, language):
    other = servers[LANGUAGES[1 - LANGUAGES.index(language)]]
    with Page(other, "room:lobby") as watching, Page(servers[language], "room:lobby", {"here": ADA}):
        shown = watching.until(lambda name, payload: "Ada" in payload.get("joins", payload))
        [meta] = shown.get("joins", shown)["Ada"]["metas"]
        assert (meta["status"], meta["member"], meta["device"]) == ("online", language, "Test")
        assert meta["language"].lower().startswith(language) and meta["since"] > 1.7e12


@pytest.mark.parametrize("language", LANGUAGES)
def test_here_and_gone(servers, language):
    def one(name, payload):
        return name == "presence_diff"

    with Page(servers[language], "room:garden") as page:
        page.until(lambda name, payload: name == "presence_state")
        assert page.ask("here", ADA) == {"status": "ok", "response": {}}
        assert list(page.until(one)["joins"]) == ["Ada"]
        page.ask("here", {**ADA, "typing": True})
        diff = page.until(one)
        assert diff["joins"]["Ada"]["metas"][0]["typing"] is True and list(diff["leaves"]) == ["Ada"]
        page.ask("here", {**ADA, "name": "Bob"})
        seen = page.until(one)
        while "Bob" not in seen["joins"]:  # one diff or two
            seen = page.until(one)
        page.ask("gone", {})
        assert list(page.until(one)["leaves"]) == ["Bob"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": 7}, {"name": "n" * 41}, {"status": "asleep"}, {"note": "n" * 141}, {"device": []}])
def test_what_is_nobody_is_refused(servers, language, wrong):
    with Page(servers[language], "room:kitchen") as page:
        assert page.ask("here", {**ADA, **wrong})["status"] == "error"
        assert page.ask("dance", {})["status"] == "error"
        assert page.ask("here", ADA)["status"] == "ok"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_kill_button_asks_who_started_the_server(servers, language):
    server, other = servers[language], LANGUAGES[1 - LANGUAGES.index(language)]
    with Page(server, "servers") as page:
        assert page.joined["response"]["self"] == language
        until(lambda: len(page.ask("phx_join", {})["response"]["members"]) == 2, "the members see each other")
        for nobody in (language, "nobody", None, {}):
            assert page.ask("kill", {"member": nobody})["status"] == "error"
        assert page.ask("kill", {"member": other})["status"] == "ok"
        assert server.lines.get(timeout=DEADLINE_S) == f"kill {other}\n"
