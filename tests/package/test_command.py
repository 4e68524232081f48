"""The presence command: a member, an observer, every command, every exit code."""

import fcntl
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = os.environ.get("PRESENCE_COMMAND", str(ROOT / "build/presence"))
PATIENCE = 20


def run(*words, **options):
    return subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=60, **options)


class Running:
    """A command that goes on, whose lines are read with a deadline."""

    def __init__(self, *words):
        self.process = subprocess.Popen([COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.rest = b""

    def line(self):
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self.rest:
            assert select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0], "no line came"
            got = os.read(self.process.stdout.fileno(), 65536)
            assert got, self.process.stderr.read().decode()
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def until(self, wanted):
        line = self.line()
        while not wanted(line):
            line = self.line()
        return line

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def member():
    with Running("join", "--listen", "127.0.0.1:0", "--cluster", "cli-test", "--name", "server") as running:
        running.address = running.line()["address"]
        yield running


def at(member):
    return ["--join", member.address, "--cluster", "cli-test"]


def test_version_and_help():
    header = (ROOT / "core/include/presence.h").read_text()
    version = ".".join(re.search(rf"PRESENCE_VERSION_{part} (\d+)", header).group(1) for part in ("MAJOR", "MINOR", "PATCH"))
    done = run("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"presence {version}")
    done = run("--help")
    assert done.returncode == 0
    for word in ("watch TOPIC", "--timeout", "--heartbeat-ms", "--join", "exit:"):
        assert word in done.stdout


@pytest.mark.parametrize("words", [
    [], ["nonsense"], ["list"], ["list", "a", "b"], ["watch"], ["track", "room"], ["members", "x"],
    ["list", "room", "--bogus"], ["list", "room", "--heartbeat-ms", "1"], ["list", "room", "--timeout", "soon"],
    ["list", "room", "--join", "nonsense"], ["list", "room", "--secret", "x"], ["members", "--listen", "0.0.0.0:0"],
    ["list", "room", "--suspect-ms", "500"],
])
def test_usage(words):
    done = run(*words)
    assert done.returncode == 2, done
    assert done.stderr and not done.stdout


def test_not_reachable():
    for words in (["list", "room"], ["list", "room", "--join", "127.0.0.1:1"], ["members", "--join", "127.0.0.1:1"]):
        done = run(*words)
        assert done.returncode == 3, done
        assert "reached" in done.stderr


def test_a_track_is_watched_and_listed(member):
    with Running("watch", "room", *at(member)) as watch:
        state = watch.line()
        assert state == {"topic": "room", "event": "presence_state", "payload": {}}
        with Running("track", "room", "u1", '{"n": 1}', *at(member)) as track:
            ref = track.line()["ref"]
            diff = watch.until(lambda line: line["event"] == "presence_diff")
            assert diff["payload"] == {"joins": {"u1": {"metas": [{"n": 1, "phx_ref": ref}]}}, "leaves": {}}
            done = run("list", "room", *at(member))
            assert done.returncode == 0
            assert json.loads(done.stdout) == diff["payload"]["joins"]
            assert track.end() == 0
        diff = watch.until(lambda line: line["event"] == "presence_diff")
        assert diff["payload"]["leaves"] == {"u1": {"metas": [{"n": 1, "phx_ref": ref}]}}
        assert watch.end(signal.SIGINT) == 0


def test_an_observer_is_no_member_and_leaves_no_trace(member):
    with Running("watch", "room", *at(member)) as watch:
        watch.line()
        listed = [json.loads(line) for line in run("members", *at(member)).stdout.splitlines()]
        assert [(m["name"], m["observer"], m["status"]) for m in listed] == [("server", False, "up")]
        everyone = [json.loads(line) for line in run("members", "--all", *at(member)).stdout.splitlines()]
        assert any(m["is_self"] and m["observer"] and m["name"].startswith("cli-") for m in everyone)
        watch.end(signal.SIGKILL)
    listed = [json.loads(line) for line in run("members", *at(member)).stdout.splitlines()]
    assert [m["name"] for m in listed] == ["server"]


def test_track_is_a_member_that_everybody_sees(member):
    with Running("track", "room", "u1", *at(member)) as track:
        ref = track.line()["ref"]
        up = member.until(lambda line: line["event"] == "member" and line["status"] == "up")
        assert up["name"].startswith("cli-") and not up["observer"]
        names = [json.loads(line)["name"] for line in run("members", *at(member)).stdout.splitlines()]
        assert sorted(names) == sorted(["server", up["name"]])
        done = run("list", "room", *at(member))  # an observer, linked with the server alone
        assert json.loads(done.stdout) == {"u1": {"metas": [{"phx_ref": ref}]}}
        assert track.end() == 0
    member.until(lambda line: line["event"] == "member" and line["status"] == "left")


def test_a_command_that_only_dials_takes_the_name_of_nobody(member):
    done = run("track", "room", "u1", "--name", "server", *at(member))
    assert done.returncode == 2 and "--listen" in done.stderr
    env = {**os.environ, "LIBPRESENCE_NAME": "server"}  # a shell beside the server
    assert run("list", "room", *at(member), env=env).stdout == "{}\n"
    track = subprocess.Popen([COMMAND, "track", "room", "u1", *at(member)], env=env, stdout=subprocess.PIPE)
    assert track.stdout.readline()
    track.terminate()
    assert track.wait(PATIENCE) == 0
    track.stdout.close()
    assert member.process.poll() is None


@pytest.mark.parametrize("words", [["track", "", "k"], ["track", "room", "k", "[1]"], ["track", "room", "k", "{"], ["list", "x" * 256]])
def test_bad_operands(member, words):
    done = run(*words, *at(member))
    assert done.returncode == 2, done
    assert "presence:" in done.stderr


def test_a_closed_pipe_ends_it_quietly(member):
    with Running("watch", "room", *at(member)) as watch:
        watch.line()
        watch.process.stdout.close()
        assert watch.process.wait(PATIENCE) == 0
        assert watch.process.stderr.read() == b""


@pytest.mark.parametrize("words", [["list", "room"], ["members"], ["watch", "room"], ["track", "room", "u1"], ["--version"], ["--help"]])
def test_output_that_cannot_be_written_fails(member, words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([COMMAND, *words, *at(member)], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1, done
    assert "No space left" in done.stderr
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", COMMAND, *words, *at(member)]
    done = subprocess.run(closed, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1, done
    assert "Bad file descriptor" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_reader_that_stands_still_does_not_keep_it_from_ending(member, number):
    """The state is larger than the pipe, whose reader takes the first byte and no more."""
    meta = json.dumps({"pad": "x" * 3000})
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    tracks = [Running("track", "room", f"u{i}", meta, "--listen", "127.0.0.1:0", *at(member)) for i in range(3)]
    try:
        for track in tracks:
            track.line()
        watch = subprocess.Popen([COMMAND, "watch", "room", *at(member)], stdout=write)
        os.close(write)
        assert os.read(read, 1) == b"{"
        watch.send_signal(number)
        assert watch.wait(PATIENCE) == 0
    finally:
        os.close(read)  # which ends it in any case
        for track in tracks:
            with track:
                track.end()


def test_the_environment_is_read(member):
    env = {**os.environ, "LIBPRESENCE_JOIN": member.address, "LIBPRESENCE_CLUSTER": "cli-test"}
    assert run("list", "room", env=env).stdout == "{}\n"
    assert run("list", "room", env={**env, "LIBPRESENCE_CLUSTER": "another"}).returncode == 3
    assert run("list", "room", env={**env, "LIBPRESENCE_HEARTBEAT_MS": "x"}).returncode == 2


def test_a_secret_comes_from_a_file_or_the_environment(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery staple\n")
    wrong = tmp_path / "wrong"
    wrong.write_text("guessed by somebody else\n")
    with Running("join", "--listen", "127.0.0.1:0", "--cluster", "cli-test", "--name", "server", "--secret-file", str(secret)) as member:
        member.address = member.line()["address"]
        assert run("list", "room", "--secret-file", str(secret), "--connect-timeout-ms", "5000", *at(member)).returncode == 0
        environment = {**os.environ, "LIBPRESENCE_SECRET": "correct horse battery staple"}
        assert run("list", "room", "--connect-timeout-ms", "5000", *at(member), env=environment).returncode == 0
        assert run("list", "room", *at(member)).returncode == 3
        assert run("list", "room", "--secret-file", str(wrong), *at(member)).returncode == 3
        done = run("list", "room", "--secret", "correct horse battery staple", *at(member))
        assert done.returncode == 2 and "--secret-file" in done.stderr and "horse" not in done.stderr
        assert run("list", "room", "--secret-file", str(tmp_path / "none"), *at(member)).returncode != 0
    shown = run("--help").stdout
    assert "--secret-file" in shown and "--secret " not in shown


def test_a_member_whose_name_is_taken_fails(member):
    with Running("join", "--listen", "127.0.0.1:0", "--name", "server", *at(member)) as younger:
        younger.line()
        assert member.process.wait(PATIENCE) == 1
        assert b"same name" in member.process.stderr.read()


def test_dump_is_all_that_is_known(member):
    with Running("track", "room", "u1", '{"n": 1}', *at(member)) as track:
        ref = track.line()["ref"]
        done = run("dump", *at(member))
        assert done.returncode == 0, done
        dump = json.loads(done.stdout)
        assert dump["topics"] == {"room": {"u1": {"metas": [{"n": 1, "phx_ref": ref}]}}}
        assert dump["stats"]["entries"] == 1
        named = {m["name"]: m for m in dump["members"]}
        assert named["server"]["linked"] and named["server"]["lag"] == 0
        assert sorted(m["entries"] for m in named.values()) == [0, 0, 1]
        assert track.end() == 0


def test_top_prints_pages_until_it_is_told_to_end(member):
    with Running("track", "room", "u1", *at(member)) as track:
        track.line()
        done = run("top", *at(member), "--count", "2", "--interval", "0.1")
        assert done.returncode == 0, done
        pages = done.stdout.split("\n\n")
        assert len(pages) == 3 and pages[2] == ""
        for page in pages[:2]:
            lines = page.splitlines()
            assert lines[0].startswith("members 3  topics 1  entries 1")
            assert lines[1].startswith("per second: joins ")
            assert lines[2].split() == ["NAME", "STATUS", "ENTRIES", "LAG", "RTT", "LINK", "ADDRESS"]
            assert sorted(line.split()[0][:4] for line in lines[3:]) == ["cli-", "serv"]  # no observers
        assert "\033" not in done.stdout  # not a terminal
        assert track.end() == 0
    top = subprocess.Popen([COMMAND, "top", *at(member), "--interval", "0.1"], stdout=subprocess.PIPE)
    try:
        assert top.stdout.readline().startswith(b"members ")
        top.terminate()
        assert top.wait(PATIENCE) == 0
    finally:
        top.kill()
        top.wait()
        top.stdout.close()


@pytest.mark.parametrize("words", [["--interval", "0"], ["--interval", "x"], ["--count", "-1"], ["--count", "x"], ["--count", ""]])
def test_bad_arguments_of_top(words):
    done = run("top", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert words[0] in done.stderr
