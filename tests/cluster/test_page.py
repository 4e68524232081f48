"""The page of the demo, as the Python and the Node server serve it: its files, its channels, its kill button."""

import json
import os
import pathlib
import queue
import re
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
WITH_US = ["setpriv", "--pdeathsig", "KILL"]  # it ends with the test, however that ends
LONG_S = 60  # a deadline only: processes start, the demo waits a while before it starts one again
ADA = {"name": "Ada", "status": "online", "typing": False, "note": "", "device": "Test"}


class Server:
    def __init__(self, language, *settings):
        self.language, self.lines = language, queue.SimpleQueue()
        self.process = subprocess.Popen([*WITH_US, *SERVERS[language], "0", f"name={language}", "cluster=page", "listen=127.0.0.1:0",
                                         "page=0", *settings], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stdout])
        self.reader.start()
        _, _, self.address, self.page = self.lines.get(timeout=LONG_S).split()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.page}{path}", timeout=DEADLINE_S) as answer:
            return answer.headers, answer.read()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(LONG_S)
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

    def __init__(self, port, topic, params=None):
        self.topic, self.events = topic, []
        self.connection = connect(f"ws://127.0.0.1:{port}/socket/websocket?vsn=2.0.0", origin=f"http://127.0.0.1:{port}")
        self.params = params or {}

    def __enter__(self):
        self.socket = self.connection.__enter__()
        self.joined = self.ask("phx_join", self.params)
        return self

    def __exit__(self, *error):
        self.connection.__exit__(*error)

    def next(self):
        return json.loads(self.socket.recv(timeout=LONG_S))[3:]

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
    with Page(other.page, "room:lobby") as watching, Page(servers[language].page, "room:lobby", {"here": ADA}):
        shown = watching.until(lambda name, payload: "Ada" in payload.get("joins", payload))
        [meta] = shown.get("joins", shown)["Ada"]["metas"]
        assert (meta["status"], meta["member"], meta["device"]) == ("online", language, "Test")
        assert meta["language"].lower().startswith(language) and meta["since"] > 1.7e12


@pytest.mark.parametrize("language", LANGUAGES)
def test_here_and_gone(servers, language):
    def one(name, payload):
        return name == "presence_diff"

    with Page(servers[language].page, "room:garden") as page:
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
@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": 7}, {"name": "n" * 41}, {"name": "a\0b"}, {"status": "asleep"}, {"note": "n" * 141},
                                   {"note": "a\x1bb"}, {"device": []}])
def test_what_is_nobody_is_refused(servers, language, wrong):
    with Page(servers[language].page, "room:kitchen") as page:
        assert page.ask("here", {**ADA, **wrong})["status"] == "error"
        assert page.ask("dance", {})["status"] == "error"
        assert page.ask("here", ADA)["status"] == "ok"
        assert page.ask("phx_join", {"here": {**ADA, **wrong}})["status"] == "error"
        assert page.ask("phx_join", {"here": {**ADA, "name": "👩‍💻"}})["status"] == "ok"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_kill_button_asks_who_started_the_server(servers, language):
    server, other = servers[language], LANGUAGES[1 - LANGUAGES.index(language)]
    with Page(server.page, "servers") as page:
        assert page.joined["response"]["self"] == language
        until(lambda: len(page.ask("phx_join", {})["response"]["members"]) == 2, "the members see each other")
        for nobody in (language, "nobody", None, {}, [other]):
            assert page.ask("kill", {"member": nobody})["status"] == "error"
        assert page.ask("kill", {"member": other})["status"] == "ok"
        assert server.lines.get(timeout=LONG_S) == f"kill {other}\n"


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_demo_kills_and_starts_again_what_a_page_asks_for():
    with subprocess.Popen([*WITH_US, sys.executable, "ci/demo.py", "--page"], cwd=ROOT, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True) as demo:
        try:
            said = ""
            while "from Node" not in said:
                line = demo.stdout.readline()
                assert line, said
                said += line
            pages = re.findall(r"http://127\.0\.0\.1:(\d+)/", said)
            pids = [int(pid) for pid in re.findall(r" pid (\d+)", said)]
            assert len(pages) == 2 and len(pids) == 3 and all(map(alive, pids))

            with Page(int(pages[0]), "servers") as page:
                assert page.ask("kill", {"member": "node"})["status"] == "ok"
                page.until(lambda name, payload: name == "members" and {"node": "down"}.items() <= {
                    member["name"]: member["status"] for member in payload["members"]}.items())
                assert not alive(pids[2])
                page.until(lambda name, payload: name == "presence_diff" and "node" in payload["joins"])
            with Page(int(pages[1]), "servers") as page:
                assert page.joined["response"]["self"] == "node"
        finally:
            demo.send_signal(signal.SIGINT)  # so that it ends its children, also when this failed
            try:
                rest = demo.communicate(timeout=LONG_S)[0]
            finally:
                demo.kill()
        assert demo.returncode == 130, rest
        until(lambda: not any(map(alive, pids)), "all children ended")
