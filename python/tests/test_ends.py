"""Ends that others see: of forked and multiprocessing children beside a cluster, of closed streams; two copies of the
package in one process; the one extension module in every Python of this machine."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from observing import DEADLINE, program, until_sync

import libpresence
from libpresence import Tracker

PACKAGE = Path(libpresence.__file__).parent

CHILDREN = {
    "os.fork and sys.exit": """
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
    """,
    "os.fork and os._exit": """
        if os.fork() == 0:
            os._exit(0)
        os.wait()
    """,
    "os.fork, everything dropped": """
        if os.fork() == 0:
            del tracker, owner
            gc.collect()
            sys.exit(0)
        os.wait()
    """,
    "multiprocessing": """
        import multiprocessing
        child = multiprocessing.get_context("fork").Process(target=len, args=("",))
        child.start()
        child.join()
    """,
    "subprocess": """
        import subprocess
        subprocess.run([sys.executable, "-c", ""], check=True)
    """,
}


@pytest.mark.parametrize("name", CHILDREN)
def test_a_child_that_ends_takes_nothing_of_its_parent(name: str) -> None:
    """The parent tracks again after the child's end: were the links gone, its peer would not hear of it."""
    with Tracker(heartbeat_ms=100, grace_ms=100) as peer:
        seen: list[str] = []
        events = peer.subscribe("t", timeout=DEADLINE)
        text = f"""
        import gc, os, sys, warnings
        from libpresence import Tracker
        warnings.simplefilter("ignore")
        tracker = Tracker(join=[{peer.address!r}], heartbeat_ms=100).start()
        owner = tracker.owner()
        owner.track("t", "before")
        tracker.synced({DEADLINE})
        {CHILDREN[name]}
        owner.track("t", "after")
        sys.stdin.read()
        """
        child = subprocess.Popen([sys.executable, "-c", _dedent(text)], stdin=subprocess.PIPE)
        try:
            for event in events:
                seen += [change.key for change in event.changes if change.kind == "join"]
                assert not [change for change in event.changes if change.kind == "leave"], "nobody left"
                if "after" in seen or "after" in event.payload:
                    break
            assert set(peer.list("t")) == {"before", "after"}
        finally:
            assert child.stdin
            child.stdin.close()
            assert child.wait(DEADLINE) == 0
        until_sync(lambda: peer.count("t") == 0)


def _dedent(text: str) -> str:
    return "\n".join(line[8:] if line.startswith(" " * 8) else line for line in text.splitlines())


@pytest.mark.parametrize("closed", ["sys.stdout.close()", "sys.stderr.close()", "os.close(1); os.close(2)"])
def test_closed_streams(closed: str) -> None:
    result = program(f"""
        import os, sys
        from libpresence import Tracker
        tracker = Tracker(log_level="debug", handle_diff=lambda diff: print(diff)).start()
        {closed}
        tracker.track(tracker, "t", "k")
        tracker.settle()
        other = Tracker(join=[tracker.address]).start()
        tracker.stop()
        os._exit(7)
    """)
    assert result.returncode == 7, result


def test_two_copies_of_the_package_are_two_members(tmp_path: Path) -> None:
    copy = tmp_path / "libpresence"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    result = program(
        """
        import sys
        import libpresence as one
        for name in [name for name in sys.modules if name.split(".")[0] == "libpresence"]:
            del sys.modules[name]
        sys.path.insert(0, sys.argv[1])
        import libpresence as two
        assert one.Tracker is not two.Tracker and one._ffi.__file__ != two._ffi.__file__
        with one.Tracker(name="one") as a, two.Tracker(name="two", join=[a.address]) as b:
            assert b.synced(20) == "synced"
            with a.owner() as owner, b.subscribe("t", timeout=20) as events:
                owner.track("t", "k")
                for event in events:
                    if event.event == "presence_diff":
                        break
                assert set(b.list("t")) == {"k"}
                try:
                    b.track(owner, "t", "k")
                    raise SystemExit("an owner of the other copy is none")
                except two.InvalidOwner:
                    pass
        left_open = one.Tracker().start(), two.Tracker().start()
        print("fine")
        """,
        str(tmp_path),
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "fine\n", ""), result


def pythons() -> list[str]:
    """Every python3 of this machine that can import cffi: the module is built once, for all from 3.10 on."""
    places = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    places += glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin"))
    found = {
        os.path.realpath(path)
        for place in places
        for path in glob.glob(f"{glob.escape(place)}/python3*")
        if os.access(path, os.X_OK) and Path(path).name.removeprefix("python3").replace(".", "").isdigit()
    }
    found.add(sys.executable)  # of a virtual environment: the path says where its packages are
    question = "import sys, _cffi_backend; sys.exit(sys.version_info < (3, 10))"
    return sorted(path for path in found if not subprocess.run([path, "-c", question], capture_output=True).returncode)


def test_one_module_in_every_python(tmp_path: Path) -> None:
    (tmp_path / "libpresence").symlink_to(PACKAGE)
    text = """
from libpresence import Tracker
with Tracker(name="a") as a, Tracker(name="b", join=[a.address], handle_diff=lambda diff: None) as b:
    b.synced(20)
    with a.owner() as owner, b.subscribe("t", timeout=20) as events:
        owner.track("t", "k", {"x": [1, None]})
        while not any(event.payload for event in [next(events)]):
            pass
        print(b.list("t")["k"]["metas"][0]["x"])
    b.settle()
kept = Tracker(transport="memory").start()
"""
    tried = pythons()
    assert tried
    for python in tried:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        result = subprocess.run(
            [python, "-c", text], capture_output=True, text=True, timeout=60, env=environment, check=False
        )
        assert (result.returncode, result.stdout, result.stderr) == (0, "[1, None]\n", ""), (python, result)
