"""Every kind of exit and fork, in processes of their own."""

from __future__ import annotations

import pytest
from observing import program

HEAD = """
import asyncio, gc, os, signal, sys, threading, time
import libpresence
from libpresence import Presence, Tracker
LOCAL = {"transport": "memory"}
"""

CLEAN = {
    "never stopped": """
tracker = Tracker(**LOCAL).start()
tracker.track(tracker, "t", "k")
""",
    "stopped": """
with Tracker(**LOCAL) as tracker:
    tracker.track(tracker, "t", "k")
""",
    "with mesh": """
tracker = Tracker().start()
other = Tracker(join=[tracker.address]).start()
tracker.track(tracker, "t", "k")
""",
    "hook hangs": """
hanging = threading.Event()
def hang(diff):
    hanging.set()
    threading.Event().wait()
tracker = Tracker(**LOCAL, handle_diff=hang).start()
tracker.track(tracker, "t", "k")
hanging.wait()
""",
    "subscriber waits in a daemon thread": """
tracker = Tracker(**LOCAL).start()
events = tracker.subscribe("t")
threading.Thread(target=lambda: list(events), daemon=True).start()
""",
    "loop closed without stop": """
async def main():
    users = await Presence(**LOCAL).start()
    users.track(asyncio.current_task(), "t", "k")
    global kept, owner
    kept, owner = users, users.owner()
    owner.track("t", "k")
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
owner = None
gc.collect()
kept.count("t")
""",
    "asyncio.run without stop": """
async def main():
    global kept
    kept = await Presence(**LOCAL, handle_diff=lambda diff: None, fetch=lambda topic, presences: presences).start()
    kept.track(kept, "t", "k")
asyncio.run(main())
try:
    kept.count("t")
    sys.exit(3)
except libpresence.TrackerClosed:
    pass
""",
    "loop closed and presence dropped": """
async def main():
    users = await Presence(**LOCAL).start()
    users.track(users, "t", "k")
asyncio.run(main())
gc.collect()
""",
    "stopped while diffs wait": """
async def main():
    async with Presence(**LOCAL, handle_diff=lambda diff: None) as users:
        for step in range(1000):
            users.track(users, "t", step)
asyncio.run(main())
""",
    "changing threads": """
told = threading.Event()
tracker = Tracker(**LOCAL, handle_metas=lambda *args: told.set()).start()
working = set()  # a thread that only begins to run while the interpreter ends may crash it by itself (CPython 3.11)
def work(number):
    step = 0
    while True:
        with tracker.owner() as owner:
            owner.track("t", f"{number}-{step}")
            working.add(number)
            step += 1
for number in range(4):
    threading.Thread(target=work, args=(number,), daemon=True).start()
told.wait()
while len(working) < 4 or tracker.stats().joins < 100:
    time.sleep(0.001)
""",
    "sys.exit in a callback": """
async def main():
    def leave(diff):
        raise SystemExit(0)
    async with Presence(**LOCAL, handle_diff=leave) as users:
        users.track(users, "t", "k")
        await asyncio.Event().wait()
asyncio.run(main())
""",
    "owner finalised at exit": """
class Connection: pass
connection = Connection()
tracker = Tracker(**LOCAL).start()
tracker.track(connection, "t", "k")
owner = tracker.owner()
events = tracker.subscribe("t")
sys.modules["kept"] = (connection, owner, events)
""",
    "os._exit": """
tracker = Tracker(**LOCAL).start()
os._exit(0)
""",
    "not started": """
Presence(**LOCAL), Tracker(**LOCAL)
""",
}


@pytest.mark.parametrize("name", CLEAN)
def test_clean_exit(name: str) -> None:
    result = program(HEAD + CLEAN[name])
    assert (result.returncode, result.stderr) == (0, ""), result


def test_keyboard_interrupt_ends_a_wait() -> None:
    result = program(
        HEAD
        + """
tracker = Tracker(**LOCAL).start()
events = tracker.subscribe("t")
next(events)
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    next(events)
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "interrupted", ""), result


def test_sigterm_ends_it() -> None:
    result = program(HEAD + 'tracker = Tracker().start()\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()')
    assert result.returncode == -15 and result.stderr == "", result


FORK = """
import warnings
warnings.simplefilter("ignore")
class Connection: pass
tracker = Tracker(**LOCAL, handle_diff=lambda diff: None).start()
connection = Connection()
owner = tracker.owner()
tracker.track(connection, "t", "a")
owner.track("t", "b")
events = tracker.subscribe("t")
next(events)
pid = os.fork()
if pid == 0:
    calls = {
        "track": lambda: tracker.track(connection, "t", "c"),
        "track new": lambda: tracker.track(Connection(), "t", "c"),
        "update": lambda: owner.update("t", "b", {}),
        "untrack": lambda: owner.untrack(),
        "list": lambda: tracker.list("t"),
        "get": lambda: tracker.get_by_key("t", "a"),
        "count": lambda: tracker.count("t"),
        "owner": lambda: tracker.owner(),
        "close": lambda: owner.close(),
        "touch": lambda: owner.touch(),
        "subscribe": lambda: tracker.subscribe("t"),
        "next": lambda: next(events),
        "members": lambda: tracker.members(),
        "stats": lambda: tracker.stats(),
        "topics": lambda: tracker.topics(),
        "address": lambda: tracker.address,
        "synced": lambda: tracker.synced(1),
        "is_synced": lambda: tracker.is_synced,
        "settle": lambda: tracker.settle(),
        "stop": lambda: tracker.stop(),
        "start": lambda: tracker.start(),
    }
    wrong = []
    for name, call in calls.items():
        try:
            call()
            wrong.append((name, "no error"))
        except libpresence.ForkedError:
            pass
        except BaseException as error:
            wrong.append((name, repr(error)))
    if wrong:
        print(wrong, flush=True)
        os._exit(9)
    owner = connection = events = None
    gc.collect()
    assert not tracker._core.left, "finalizers do nothing"
    with Tracker(**LOCAL) as own:  # a child may open its own
        own.track(own, "t", "mine")
        assert set(own.list("t")) == {"mine"}
    sys.exit(7)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert set(tracker.list("t")) == {"a", "b"}, "the child's end changes nothing"
owner.track("t", "c")
assert set(next(events).payload["joins"]) == {"c"}
print("parent fine")
"""


def test_fork() -> None:
    result = program(HEAD + FORK)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "parent fine", ""), result


def test_fork_of_an_event_loop() -> None:
    result = program(
        HEAD
        + """
import warnings
warnings.simplefilter("ignore")
async def main():
    async with Presence(**LOCAL) as users:
        owner = users.owner()
        owner.track("t", "a")
        pid = os.fork()
        if pid == 0:
            for call in (lambda: users.list("t"), lambda: users.stop(), lambda: users.settle(), lambda: users.synced()):
                try:
                    await call()
                    os._exit(9)
                except libpresence.ForkedError:
                    pass
            del owner
            gc.collect()
            os._exit(7)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 7
        async with users.subscribe("t") as events:
            assert set((await events.__anext__()).payload) == {"a"}
            owner.track("t", "b")
            assert set((await events.__anext__()).payload["joins"]) == {"b"}
        print("parent fine")
asyncio.run(main())
"""
    )
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "parent fine", ""), result


MULTI = """
import multiprocessing
def work(number, results):
    with Tracker(**LOCAL) as tracker:
        tracker.track(tracker, "t", number)
        results.put((number, list(tracker.list("t"))))
if __name__ == "__main__":
    for method in ("fork", "forkserver"):
        context = multiprocessing.get_context(method)
        results = context.Queue()
        with Tracker(**LOCAL) as tracker:
            children = [context.Process(target=work, args=(n, results)) for n in range(3)]
            [child.start() for child in children]
            got = sorted(results.get(timeout=20) for _ in children)
            [child.join(20) for child in children]
            assert got == [(n, [str(n)]) for n in range(3)], got
            assert [child.exitcode for child in children] == [0, 0, 0]
    print("fine")
"""


def test_multiprocessing(tmp_path: object) -> None:
    import pathlib
    import subprocess
    import sys

    path = pathlib.Path(str(tmp_path)) / "program.py"
    path.write_text("import warnings\nwarnings.simplefilter('ignore')\n" + HEAD + MULTI)
    result = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "fine", ""), result
