"""What is refused says what it is about; what would go wrong without a word is told."""

from __future__ import annotations

import asyncio
import copy
import errno
import gc
import logging
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from observing import LOCAL, until, until_sync

import libpresence
from libpresence import Presence, Tracker


class Connection:
    def closed(self) -> None: ...


# ---- options ----

NAMED: list[tuple[dict[str, Any], str]] = [
    ({"nope": 1}, "nope"),
    ({"heartbeat_ms": "soon"}, "heartbeat_ms"),
    ({"heartbeat_ms": 1.5}, "heartbeat_ms"),
    ({"name": "\ud800"}, "name"),
    ({"join": "127.0.0.1"}, "join"),
    ({"join": [None]}, "join"),
    ({"log_level": "x"}, "log_level"),
    ({"env": "x"}, "env"),
    ({"fetch": 3}, "fetch"),
    ({"secret": "x"}, "secret"),
    ({"insecure": 2}, "insecure"),
    ({"transport": "nats"}, "transport"),
    ({"listen": "0.0.0.0:1"}, "listen"),
]


@pytest.mark.parametrize(("options", "named"), NAMED)
def test_an_error_has_the_option_it_is_about(options: dict[str, Any], named: str) -> None:
    with pytest.raises((libpresence.InvalidOption, libpresence.Unsupported)) as caught:
        Tracker(**options)
    assert caught.value.option == named


def test_errors_of_start_and_of_the_environment_have_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(libpresence.InvalidOption) as caught:
        Tracker(heartbeat_ms=1000, suspect_ms=10).start()
    assert caught.value.option == "suspect_ms"
    monkeypatch.setenv("LIBPRESENCE_HEARTBEAT_MS", "never")
    with pytest.raises(libpresence.InvalidOption) as caught:
        Tracker(env=True)
    assert caught.value.option == "heartbeat_ms"


def test_the_default_of_what_is_not_built_is_no_wish() -> None:
    defaults = {"secret": "", "tls_cert": "", "nats_url": "", "insecure": False}
    with Tracker(**LOCAL, **defaults):
        pass
    Tracker(insecure="0")


def test_an_address_in_use_has_its_errno() -> None:
    with Tracker() as tracker, pytest.raises(OSError, match=tracker.address) as caught:
        Tracker(listen=tracker.address).start()
    assert caught.value.errno == errno.EADDRINUSE
    assert isinstance(caught.value, libpresence.AddressInUse)


# ---- copies ----

COPIES: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, pickle.dumps]


@pytest.mark.parametrize("duplicate", COPIES)
def test_what_is_there_once_is_not_copied(duplicate: Callable[[Any], Any]) -> None:
    with Tracker(**LOCAL) as tracker, tracker.owner() as owner, tracker.subscribe("t") as events:
        owner.track("t", "k")
        with tracker.track_as("t", "other") as entry:
            for original in (tracker, owner, events, entry):
                with pytest.raises(TypeError, match=f"{type(original).__name__}.* be copied or pickled"):
                    duplicate(original)
            gc.collect()
            assert tracker.count("t") == 2
        assert next(iter(events)).event == "presence_state"


@pytest.mark.parametrize("duplicate", COPIES)
def test_presence_is_not_copied(run_once: Any, duplicate: Callable[[Any], Any]) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users, users.subscribe("t") as events:
            for original in (users, events):
                with pytest.raises(TypeError, match="be copied or pickled"):
                    duplicate(original)

    run_once(main())


def test_a_subclass_may_say_how_it_is_made_anew() -> None:
    assert type(copy.copy(Anew(**LOCAL))) is Anew


class Anew(Tracker):
    def __reduce__(self) -> Any:
        return Anew, ()


# ---- owners that are gone at once ----


def test_a_bound_method_owns_nothing() -> None:
    with Tracker(**LOCAL) as tracker:
        connection = Connection()
        with pytest.raises(libpresence.InvalidOwner, match="method"):
            tracker.track(connection.closed, "t", "k")
        tracker.track(connection, "t", "k")
        assert tracker.count("t") == 1


def test_an_owner_that_is_dropped_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if "without close()" in record.getMessage()]

    with Tracker(**LOCAL) as tracker:
        with tracker.owner() as owner:
            owner.track("t", "closed")
        connection = Connection()
        tracker.track(connection, "t", "collected")
        del connection, owner
        gc.collect()
        until_sync(lambda: tracker.count("t") == 0)
        assert told() == []
        for _ in range(3):
            tracker.owner().track("t", "dropped")
            gc.collect()
            until_sync(lambda: tracker.count("t") == 0)
        until_sync(told)
    assert len(told()) == 1


def test_a_tracker_that_is_dropped_leaves(caplog: pytest.LogCaptureFixture) -> None:
    def threads() -> int:
        return sum(thread.name == "libpresence" for thread in threading.enumerate())

    with Tracker() as other:
        before = threads()
        dropped = Tracker(join=[other.address], handle_diff=lambda diff: None).start()
        owner = dropped.owner()
        owner.track("t", "k")
        until_sync(lambda: other.count("t") == 1)
        del dropped
        gc.collect()
        assert other.count("t") == 1, "its owner still holds it"
        del owner
        gc.collect()
        until_sync(lambda: other.count("t") == 0)
        until_sync(lambda: len(other.members()) == 1)
        until_sync(lambda: threads() == before)
    assert "a Tracker was dropped without stop()" in caplog.text


# ---- the rest ----


def test_overflows_are_told_once_a_second(run_once: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "libpresence")

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if "queue.overflow" in record.getMessage()]

    async def main() -> None:
        began = time.monotonic()
        async with Presence(**LOCAL, queue_bytes=16384) as users, users.owner() as owner, users.subscribe("t"):
            await users.synced()
            owner.track("t", "k")
            for _ in range(10):
                for number in range(10):
                    owner.update("t", "k", {"text": "x" * 8000, "number": number})
                await users.settle()
            await until(told)
            assert users.stats()["resyncs"] >= 10
            assert 1 <= len(told()) <= 1 + (time.monotonic() - began), told()

    run_once(main())


def test_settle_after_the_end(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            await users.settle()
        with pytest.raises(libpresence.TrackerClosed):
            await users.settle()

    run(main())
    with Tracker(**LOCAL) as tracker:
        tracker.settle()
    with pytest.raises(libpresence.TrackerClosed):
        tracker.settle()


def test_settle_ends_with_the_tracker(run: Any) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def hang(_diff: Any) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with Presence(**LOCAL, handle_diff=hang) as users, users.owner() as owner:
            owner.track("t", "k")
            await begun.wait()
            settling = asyncio.ensure_future(users.settle())
            await asyncio.sleep(0)
            await users.stop()
            with pytest.raises(libpresence.TrackerClosed):
                await settling

    run(main())
