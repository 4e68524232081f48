"""Bad input of every kind that the other files do not have: seeds that are no members, garbage in every option, no
descriptors, calls from finalizers and from update functions. docs/bad-input.md names the test of each."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from observing import LOCAL, program, until_sync

import libpresence
from libpresence import Presence, Tracker, _ffi

# ---- seeds ----


@contextmanager
def server(says: bytes | None) -> Iterator[str]:
    """Accepts, says one thing, and keeps the connection."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    kept.append(connection)
                    if says:
                        connection.sendall(says)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield "127.0.0.1:{}".format(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in kept:
            connection.close()


@contextmanager
def another_cluster(stack: ExitStack) -> Iterator[str]:
    with Tracker(cluster="another") as tracker:
        yield tracker.address


HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
SEEDS: dict[str, Callable[[ExitStack], Any]] = {
    "an HTTP server": lambda stack: stack.enter_context(server(HTTP)),
    "silent": lambda stack: stack.enter_context(server(None)),
    "random bytes": lambda stack: stack.enter_context(server(bytes(range(255, -1, -1)) * 50)),
    "half a greeting": lambda stack: stack.enter_context(server(b"LPRE\1\0\1")),
    "nobody": lambda stack: "127.0.0.1:1",
    "unresolvable": lambda stack: "no-such-host.invalid:7946",
    "another cluster": lambda stack: stack.enter_context(another_cluster(stack)),
    "a thousand": lambda stack: [f"127.0.0.1:{port}" for port in range(1, 1001)],
}
QUICK = {"connect_timeout_ms": 200, "heartbeat_ms": 100}


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_that_are_no_members(seed: str, run_once: Any, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as stack:
        join = SEEDS[seed](stack)
        with Tracker(join=join, **QUICK) as tracker, tracker.owner() as owner:
            assert tracker.synced(20) == "alone"
            owner.track("t", "k")
            assert set(tracker.list("t")) == {"k"} and len(tracker.members()) == 1
            if seed == "another cluster":
                until_sync(lambda: "cluster" in caplog.text)

        async def main() -> None:
            async with Presence(join=join, **QUICK) as users, users.owner() as owner:
                assert await users.synced(20) == "alone"
                owner.track("t", "k")
                assert set(await users.list("t")) == {"k"}

        run_once(main())


def test_a_seed_that_is_ourselves() -> None:
    with Tracker() as other:
        address = other.address
    port = address.rsplit(":", 1)[1]
    with Tracker(listen=address, join=[address, f"localhost:{port}"], **QUICK) as tracker:
        assert tracker.synced(20) == "alone"
        assert len(tracker.members()) == 1


# ---- options ----

GARBAGE: list[Any] = [
    object(),
    b"",
    b"\xff",
    float("nan"),
    1e300,
    -1,
    2**70,
    [],
    [[]],
    {},
    {1},
    "",
    " ",
    "\ud800",
    "a\0b",
    "x" * 70_000,
    "[::1]",
    "%s%n",
    True,
    lambda: None,
]


def option_names() -> list[str]:
    names: list[str] = []
    while (name := _ffi.lib.presence_option_at(len(names), _ffi.ffi.NULL, _ffi.ffi.NULL)) != _ffi.ffi.NULL:
        names.append(_ffi.ffi.string(name).decode())
    return names


@pytest.mark.parametrize("name", option_names())
def test_garbage_in_every_option(name: str) -> None:
    refused, names = 0, option_names()
    for value in GARBAGE:
        try:
            Tracker(**{name: value})
        except (libpresence.InvalidOption, libpresence.Unsupported) as error:
            assert error.option in names and error.option in str(error) and name in str(error)
            refused += 1
    assert refused >= 5


def test_no_descriptors() -> None:
    result = program("""
        import os, resource
        import libpresence
        from libpresence import Tracker
        low = os.open("/dev/null", os.O_RDONLY)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for more in range(12):
            resource.setrlimit(resource.RLIMIT_NOFILE, (low + more, hard[1]))
            try:
                tracker = Tracker()
                tracker.start()
                tracker.stop()
            except (libpresence.PresenceError, OSError) as error:
                print(type(error).__name__, flush=True)
            resource.setrlimit(resource.RLIMIT_NOFILE, hard)
            with Tracker() as tracker:
                tracker.track(tracker, "t", "k")
        os._exit(0)
    """)
    assert result.returncode == 0 and result.stdout, result


# ---- finalizers ----


def test_calls_from_finalizers() -> None:
    """A collection may begin in the middle of any call, with whatever that call holds."""
    result = program(
        """
        import faulthandler, gc
        faulthandler.dump_traceback_later(40, exit=True)
        from libpresence import Tracker
        tracker = Tracker(transport="memory", handle_diff=lambda diff: None).start()
        owner, done = tracker.owner(), []
        class Connection: pass
        class Late:
            def __init__(self):
                self.me = self
            def __del__(self):
                step = len(done)
                done.append(step)
                connection = Connection()
                tracker.track(owner, "late", step)
                tracker.track(connection, "t", step)
                tracker.update(owner, "late", step, lambda meta: {**meta, "n": step})
                tracker.list("late"), tracker.count("t"), tracker.members(), tracker.topics(), tracker.stats()
                with tracker.subscribe("late", timeout=20) as events:
                    next(events)
                tracker.untrack(connection)
                with tracker.owner() as other:
                    other.track("t", "other")
        events = tracker.subscribe("t", timeout=20)
        gc.set_threshold(20, 1, 1)
        for step in range(120):
            Late()
            connection = Connection()
            tracker.track(connection, "mine", step)
            tracker.track(owner, "mine", step, {"a": [step]})
            tracker.list("mine")
            tracker.untrack(owner, "mine", step)
            next(events) if step < 3 else None
        gc.set_threshold(700, 10, 10)
        gc.collect()
        tracker.settle()
        assert len(done) == 120 and tracker.count("late") == 120, (len(done), tracker.count("late"))
        tracker.stop()
        print("fine")
        """
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "fine\n", ""), result


# ---- update functions ----


def test_update_functions_that_pull_the_rug_away() -> None:
    with Tracker(**LOCAL) as tracker, tracker.owner() as owner:
        other = tracker.owner()
        owner.track("t", "k", {"n": 1})
        other.track("t", "o", {"n": 1})

        def untrack(meta: dict[str, Any]) -> dict[str, Any]:
            owner.untrack("t", "k")
            return meta | {"n": 2}

        def close(meta: dict[str, Any]) -> dict[str, Any]:
            other.close()
            return meta | {"n": 2}

        def stop(meta: dict[str, Any]) -> dict[str, Any]:
            tracker.stop()
            return meta | {"n": 2}

        with pytest.raises(libpresence.NotTracked):
            owner.update("t", "k", untrack)
        assert tracker.count("t") == 1
        with pytest.raises(libpresence.OwnerClosed):
            other.update("t", "o", close)
        assert tracker.count("t") == 0
        owner.track("t", "k", {"n": 1})
        with pytest.raises(libpresence.TrackerClosed):
            owner.update("t", "k", stop)


def test_a_coroutine_that_nobody_awaits_does_nothing(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            for call in (users.list("t"), users.synced(), users.settle(), users.stop()):
                call.close()
            assert users.count("t") == 0
            waiting = asyncio.ensure_future(users.settle())
            del waiting
            gc.collect()
            users.track(users, "t", "k")
            assert set(await users.list("t")) == {"k"}

    run_once(main())
