"""Members in C, Python and Node as child processes, driven by JSON lines."""

import atexit
import contextlib
import functools
import json
import os
import pathlib
import random
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
COMMANDS = {
    "c": [os.environ.get("LIBPRESENCE_TEST_DRIVER", str(ROOT / "build/dev/tests/cluster_driver"))],
    "python": [sys.executable, str(HERE / "driver.py")],
    "node": ["node", str(HERE / "driver.mjs")],
}
ERRORS = dict(re.findall(r'ERROR\((\w+), -?\d+, \w+, "[^"]*", "(\w+)"', (ROOT / "core/src/base/errors.def").read_text()))
DEADLINE_S = 10
SECRET = "correct horse battery staple"


class Refused(Exception):
    """a call answered with an error; .code as the Node package names it"""

    def __init__(self, name):
        super().__init__(name)
        self.code = ERRORS.get(name, name)


def until(condition, what="the condition", seconds=DEADLINE_S):
    """waits for a true answer and returns it"""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {what() if callable(what) else what}"


class Authority:
    """issues certificates into a folder, by the openssl command"""

    def __init__(self, folder, name):
        self.folder, self.name, self.cert, self.key = folder, name, folder / f"{name}.pem", folder / f"{name}.key"
        self.make(self.cert, self.key, name, "basicConstraints=critical,CA:TRUE")

    def make(self, cert, key, subject, extension, *more):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={subject}",
                        "-addext", extension, "-keyout", str(key), "-out", str(cert), *more], check=True, capture_output=True)

    def issue(self, stem, names="DNS:localhost,IP:127.0.0.1"):
        """options of a member with a certificate for these names"""
        cert, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        self.make(cert, key, stem, f"subjectAltName={names}", "-CA", str(self.cert), "-CAkey", str(self.key), "-addext", "basicConstraints=critical,CA:FALSE")
        return {"tls_cert": str(cert), "tls_key": str(key), "tls_ca": str(self.cert)}


@functools.cache
def shared_certificate():
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Authority(pathlib.Path(folder.name), "issuer").issue("member")


def security():
    """LIBPRESENCE_TEST_SECURITY=secret or certificates: every test, with that"""
    how = os.environ.get("LIBPRESENCE_TEST_SECURITY", "")
    assert how in ("", "secret", "certificates"), how
    return {"": dict, "secret": lambda: {"secret": SECRET}, "certificates": shared_certificate}[how]()


class Member:
    def __init__(self, language, **options):
        self.language, self.options = language, {name: str(value) for name, value in options.items()}
        self.process = subprocess.Popen(COMMANDS[language], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.folded = {}
        try:
            self.address = self("open", options={"heartbeat_ms": "200", "listen": "127.0.0.1:0", **security(), **self.options})
        except Refused:
            self.end()
            raise

    def __call__(self, do, **fields):
        self.process.stdin.write((json.dumps({"do": do, **fields}) + "\n").encode())
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], 20)
        assert ready, f"{self.language}: no answer to {do}"
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["ok"]

    def track(self, owner, topic, key, meta=None):
        return self("track", owner=owner, topic=topic, key=key, meta=json.dumps(meta or {}))

    def update(self, owner, topic, key, meta, **more):
        return self("update", owner=owner, topic=topic, key=key, meta=json.dumps(meta), **more)

    def list(self, topic):
        return without_prev(self("list", topic=topic))

    def keys(self, topic):
        return set(self("list", topic=topic))

    def status(self, name):
        return next((m["status"] for m in self("members") if m["name"] == name), None)

    def fold(self):
        """takes the events that came and folds them by ref, asserting that each fits what was folded before"""
        events = self("events")
        for event in events:
            folded = self.folded.setdefault(event["topic"], {})
            if event["event"] == "presence_state":
                folded.clear()
                folded.update(refs(event["payload"]))
                continue
            joins, leaves = refs(event["payload"]["joins"]), refs(event["payload"]["leaves"])
            for ref, value in joins.items():
                assert ref not in folded, f"duplicate join of {value}"
                folded[ref] = value
            for ref, value in leaves.items():
                assert folded.get(ref) == value, f"leave of {value}, shown was {folded.get(ref)}"
                del folded[ref]
        return events

    def changes(self, number):
        """folds until so many changes have come (state is visible before its diff) and returns them"""
        found = []

        def enough():
            found.extend(change for event in self.fold() for change in event["changes"])
            return len(found) >= number
        until(enough, lambda: f"{number} changes, only {found}")
        return found

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def end(self):
        # It may still stand still. This comes before it begins to end: SIGCONT takes back a SIGSTOP that is under way, and
        # LeakSanitizer, which stops the process by one at its exit, would wait for it for ever.
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        if self.process.poll() is None:
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"the {self.language} member did not end by itself") from None
        self.process.stdout.close()
        assert self.process.returncode in (0, -signal.SIGKILL), f"the {self.language} member ended with {self.process.returncode}"


def refs(presences):
    """{ref: (key, user fields)}"""
    return {meta["phx_ref"]: (key, json.dumps({n: v for n, v in meta.items() if n not in ("phx_ref", "phx_ref_prev")}, sort_keys=True))
            for key, entry in presences.items() for meta in entry["metas"]}


def without_prev(presences):
    return {key: {"metas": [{n: v for n, v in meta.items() if n != "phx_ref_prev"} for meta in entry["metas"]]}
            for key, entry in presences.items()}


def lasting_address():
    """an address that is free, also for a restart: no connection of another process is given such a port (they are above 32767)"""
    while True:
        address = ("127.0.0.1", random.randrange(20000, 32000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(address)
            return f"{address[0]}:{address[1]}"


@pytest.fixture
def start():
    """start(language, name=…, join=[members]) opens a member; all are ended afterwards"""
    members = []

    def start_member(language, join=(), **options):
        if join:
            options["join"] = ",".join(member.address for member in join)
        member = Member(language, **options)
        members.append(member)
        return member

    yield start_member
    for member in members:
        member.end()


LANGUAGES = os.environ.get("LIBPRESENCE_TEST_LANGUAGES", "c python node").split()
PAIRS = [(a, b) for a in LANGUAGES for b in LANGUAGES]


@pytest.fixture(params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def pair(request, start):
    """two linked members, one of each language of the pair"""
    first = start(request.param[0], name="first", listen=lasting_address())
    second = start(request.param[1], name="second", join=[first])
    for member, other in ((first, "second"), (second, "first")):
        until(lambda: member.status(other) == "up", f"{member.language} sees {other}")
    return first, second
