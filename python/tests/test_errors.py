"""Bad inputs give their named errors, and calls at the wrong time or place theirs."""

from __future__ import annotations

import asyncio
import builtins
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from observing import LOCAL

import libpresence
from libpresence import Presence, PresenceError, Tracker, _errors

OPEN = [
    ("x" * 256, libpresence.InvalidTopic),
    ("", libpresence.InvalidTopic),
    ("a\0b", libpresence.InvalidTopic),
    ("\ud800", libpresence.InvalidTopic),
    (b"bytes", libpresence.InvalidTopic),
    (None, libpresence.InvalidTopic),
    (5, libpresence.InvalidTopic),
    (SimpleNamespace(topic=5), libpresence.InvalidTopic),
    (SimpleNamespace(topic=b"bytes"), libpresence.InvalidTopic),
    (SimpleNamespace(topic=SimpleNamespace(topic="t")), libpresence.InvalidTopic),
]
BAD_KEYS: list[Any] = ["", "x" * 256, "é" * 128, "a\0b", "\udfff", b"k", None, True, 1.5, object(), ("a",), 10**5000]
BAD_METAS: list[Any] = [
    [],
    "{}",
    b"{}",
    5,
    {"a": b"bytes"},
    {"a": float("nan")},
    {"a": float("inf")},
    {"a": "\ud800"},
    {"a": object()},
    {"a": {1, 2}},
    {("a",): 1},
    {1: "a", "1": "b"},
    {"\ud800": 1},
]


def deep(levels: int) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    for _ in range(levels - 1):
        meta = {"a": meta}
    return meta


@pytest.fixture
def tracker() -> Any:
    with Tracker(**LOCAL) as tracker:
        yield tracker


@pytest.mark.parametrize(("topic", "kind"), OPEN)
def test_topics(tracker: Any, topic: Any, kind: type[Exception]) -> None:
    owner = tracker.owner()
    calls = [
        lambda: tracker.track(owner, topic, "k"),
        lambda: tracker.update(owner, topic, "k", {}),
        lambda: tracker.list(topic),
        lambda: tracker.get_by_key(topic, "k"),
        lambda: tracker.count(topic),
        lambda: tracker.subscribe(topic),
        lambda: tracker.entries(topic),
    ]
    for call in calls:
        with pytest.raises(kind) as caught:
            call()
        assert isinstance(caught.value, (ValueError, TypeError, PresenceError))
    if topic is not None:
        with pytest.raises(kind):
            tracker.untrack(owner, topic, "k")


@pytest.mark.parametrize("key", BAD_KEYS, ids=range(len(BAD_KEYS)))
def test_keys(tracker: Any, key: Any) -> None:
    owner = tracker.owner()
    calls = [
        lambda: tracker.track(owner, "t", key),
        lambda: tracker.update(owner, "t", key, {}),
        lambda: tracker.get_by_key("t", key),
        lambda: tracker.track_many(owner, [("t", key, {})]),
    ]
    for call in calls:
        with pytest.raises(libpresence.InvalidKey):
            call()
    assert tracker.count("t") == 0


@pytest.mark.parametrize("meta", BAD_METAS, ids=range(len(BAD_METAS)))
def test_metas(tracker: Any, meta: Any) -> None:
    owner = tracker.owner()
    with pytest.raises(libpresence.InvalidMeta):
        tracker.track(owner, "t", "k", meta)
    tracker.track(owner, "t", "k", {"kept": 1})
    with pytest.raises(libpresence.InvalidMeta):
        tracker.update(owner, "t", "k", meta)
    with pytest.raises(libpresence.InvalidMeta):
        tracker.update(owner, "t", "k", lambda _old: meta)
    assert tracker.entries("t")[0].meta == {"kept": 1}


def test_meta_that_contains_itself(tracker: Any) -> None:
    meta: dict[str, Any] = {}
    meta["me"] = meta
    with pytest.raises(libpresence.InvalidMeta):
        tracker.track(tracker.owner(), "t", "k", meta)


def test_meta_depth(tracker: Any) -> None:
    tracker.track(tracker.owner(), "t", "deep", deep(32))
    with pytest.raises(libpresence.InvalidMeta):
        tracker.track(tracker.owner(), "t", "k", deep(33))
    with pytest.raises(libpresence.InvalidMeta):
        tracker.track(tracker.owner(), "t", "k", deep(100_000))


def test_reserved_names_are_dropped(tracker: Any) -> None:
    with tracker.owner() as owner:
        ref = tracker.track(owner, "t", "k", {"phx_ref": "mine", "phx_ref_prev": "mine", "inner": {"phx_ref": 1}})
        assert tracker.list("t") == {"k": {"metas": [{"inner": {"phx_ref": 1}, "phx_ref": ref}]}}


def test_limits_name_the_option() -> None:
    with Tracker(**LOCAL, meta_bytes=100, key_bytes=10, topic_bytes=20) as tracker:
        owner = tracker.owner()
        for item, option in [
            (("t", "k", {"a": "x" * 100}), "meta_bytes"),
            (("t", "k" * 11, {}), "key_bytes"),
            (("t" * 21, "k", {}), "topic_bytes"),
        ]:
            with pytest.raises(libpresence.LimitExceeded, match=option) as caught:
                tracker.track(owner, *item)
            assert caught.value.option == option
        tracker.track(owner, "t", "k", {"a": "x" * 90})
        with pytest.raises(libpresence.LimitExceeded, match="meta_bytes"):
            tracker.update(owner, "t", "k", {"a": "x" * 100})


def test_quotas_name_the_option() -> None:
    with Tracker(**LOCAL, member_entries=4, topic_entries=3, key_metas=2) as tracker:
        owners = [tracker.owner() for _ in range(3)]
        tracker.track(owners[0], "t", "k")
        tracker.track(owners[1], "t", "k")
        with pytest.raises(libpresence.LimitExceeded, match="key_metas = 2") as caught:
            tracker.track(owners[2], "t", "k")
        assert caught.value.option == "key_metas"
        with pytest.raises(libpresence.LimitExceeded, match="topic_entries = 3") as caught:
            tracker.track_many(owners[2], [("t", "a", {}), ("t", "b", {})])
        assert (caught.value.option, caught.value.index) == ("topic_entries", 1)
        assert tracker.count("t", metas=True) == 2
        with pytest.raises(libpresence.LimitExceeded, match="member_entries = 4") as caught:
            tracker.track_many(owners[2], [("u", "a", {}), ("v", "b", {}), ("w", "c", {})])
        assert (caught.value.option, caught.value.index) == ("member_entries", 2)
        tracker.update(owners[0], "t", "k", {"n": 1})
        owners[1].close()
        tracker.track(owners[2], "t", "k")
        for owner in owners:
            owner.close()


def test_tracked_twice_and_never(tracker: Any) -> None:
    owner, other = tracker.owner(), tracker.owner()
    tracker.track(owner, "t", "k")
    with pytest.raises(libpresence.AlreadyTracked):
        tracker.track(owner, "t", "k")
    with pytest.raises(LookupError):
        tracker.update(other, "t", "k", {})
    assert tracker.untrack(other, "t", "k") == 0
    assert tracker.count("t") == 1


def test_untrack_takes_a_topic_with_a_key(tracker: Any) -> None:
    with pytest.raises(libpresence.InvalidArgument):
        tracker.untrack(tracker.owner(), "t")


OPTIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"nonsense": 1}, libpresence.InvalidOption, "nonsense"),
    ({"heartbeat_ms": 0}, libpresence.InvalidOption, "heartbeat_ms"),
    ({"heartbeat_ms": "soon"}, libpresence.InvalidOption, "heartbeat_ms"),
    ({"heartbeat_ms": 1.5}, libpresence.InvalidOption, "heartbeat_ms"),
    ({"name": "x" * 100}, libpresence.InvalidOption, "name"),
    ({"name": "a\0b"}, libpresence.InvalidOption, "name"),
    ({"name": "\ud800"}, libpresence.InvalidOption, "name"),
    ({"name": ["a"]}, libpresence.InvalidOption, "name"),
    ({"join": ["127.0.0.1"]}, libpresence.InvalidOption, "join"),
    ({"join": [1.5]}, libpresence.InvalidOption, "join"),
    ({"listen": "here"}, libpresence.InvalidOption, "listen"),
    ({"transport": "pigeon"}, libpresence.InvalidOption, "transport"),
    ({"transport": "nats"}, libpresence.Unsupported, "nats"),
    ({"secret": "s3cret"}, libpresence.InvalidOption, "secret"),
    ({"secret": ["correct horse battery, staple of old times"]}, libpresence.InvalidOption, "comma"),
    ({"join": ["127.0.0.1:1,127.0.0.1:2"]}, libpresence.InvalidOption, "comma"),
    ({"secret": b"correct horse battery staple"}, libpresence.InvalidOption, "secret"),
    ({"secret": "correct horse battery staple", "insecure": True}, libpresence.InvalidOption, "insecure"),
    ({"tls_cert": "cert.pem"}, libpresence.InvalidOption, "tls_key"),
    ({"tls_name": "member.example"}, libpresence.InvalidOption, "tls_name"),
    ({"listen": "0.0.0.0:7946"}, libpresence.Unsupported, "listen"),
    ({"fetch": 5}, libpresence.InvalidOption, "fetch"),
    ({"handle_diff": "x"}, libpresence.InvalidOption, "handle_diff"),
    ({"env": 1}, libpresence.InvalidOption, "env"),
]


@pytest.mark.parametrize("make", [Presence, Tracker])
@pytest.mark.parametrize(("options", "kind", "named"), OPTIONS)
def test_options(make: Any, options: dict[str, Any], kind: type[Exception], named: str) -> None:
    with pytest.raises(kind, match=named) as caught:
        make(**options)
    assert "s3cret" not in str(caught.value) and "horse" not in str(caught.value)


@pytest.mark.parametrize("options", [
    {"insecure": True}, {"secret": "correct horse battery staple"}, {"secret": ["correct horse battery", "staple of old times"]},
    {"secret_file": Path("/run/secrets/presence")}, {"tls_cert": "cert.pem", "tls_key": "key.pem", "tls_ca": "ca.pem"},
])
def test_beyond_loopback_with_security(options: dict[str, Any]) -> None:
    Tracker(listen="0.0.0.0:7946", join=["192.0.2.1:7946"], advertise=["192.0.2.2:7946"], **options)


def test_combinations_are_refused_at_start(run_once: Any) -> None:
    with pytest.raises(libpresence.InvalidOption, match="suspect_ms"):
        Tracker(heartbeat_ms=1000, suspect_ms=500).start()

    async def main() -> None:
        with pytest.raises(libpresence.InvalidOption, match="suspect_ms"):
            await Presence(heartbeat_ms=1000, suspect_ms=500).start()

    run_once(main())


def test_options_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBPRESENCE_NAME", "from-env")
    monkeypatch.setenv("LIBPRESENCE_TRANSPORT", "memory")
    with Tracker(env=True) as tracker:
        assert tracker.members()[0].name == "from-env"
    with Tracker(env=True, name="given") as tracker:
        assert tracker.members()[0].name == "given"
    with Tracker(transport="memory") as tracker:
        assert tracker.members()[0].name != "from-env", "the environment is not read unless asked for"
    monkeypatch.setenv("LIBPRESENCE_HEARTBEAT_MS", "never")
    with pytest.raises(libpresence.InvalidOption, match="LIBPRESENCE_HEARTBEAT_MS"):
        Tracker(env=True)


def test_address_in_use(run_once: Any) -> None:
    with Tracker() as tracker, pytest.raises(libpresence.AddressInUse) as caught:
        Tracker(listen=tracker.address).start()
    assert isinstance(caught.value, OSError)


def test_before_start_and_after_stop(run: Any) -> None:
    async def main() -> None:
        users = Presence(**LOCAL)
        calls: list[Any] = [
            lambda: users.track(users, "t", "k"),
            lambda: users.owner(),
            lambda: users.count("t"),
            lambda: users.topics(),
            lambda: users.members(),
            lambda: users.stats(),
            lambda: users.address,
            lambda: users.list("t"),
            lambda: users.get_by_key("t", "k"),
            lambda: users.subscribe("t"),
            lambda: users.synced(),
            lambda: users.settle(),
            lambda: users.untrack(users),
            lambda: users.update(users, "t", "k", {}),
        ]
        for call in calls:
            with pytest.raises(libpresence.WrongState):
                result = call()
                await result
        await users.stop()
        assert users.is_synced is False
        await users.start()
        with pytest.raises(libpresence.WrongState):
            await users.start()
        owner = users.owner()
        owner.track("t", "k")
        await users.stop()
        await users.stop()
        for call in [*calls, lambda: users.track(owner, "t", "k2"), lambda: users.start()]:
            if call is calls[9] or call is calls[6] or call is calls[11]:
                continue
            with pytest.raises(libpresence.TrackerClosed):
                result = call()
                await result
        owner.close()
        assert users.is_synced is False

    run(main())


@pytest.mark.parametrize("bad", ["1", -1, float("nan"), True, [], 1e300])
def test_timeouts(run_once: Any, bad: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            for call in (lambda: users.synced(bad), lambda: users.stop(bad)):
                with pytest.raises(libpresence.InvalidArgument):
                    await call()

    run_once(main())
    with Tracker(**LOCAL) as tracker:
        for call in (lambda: tracker.synced(bad), lambda: tracker.stop(bad), lambda: tracker.subscribe("t", bad)):
            with pytest.raises(libpresence.InvalidArgument):
                call()


def test_update_needs_a_meta(tracker: Any) -> None:
    owner = tracker.owner()
    tracker.track(owner, "t", "k", {"kept": 1})
    with pytest.raises(libpresence.InvalidMeta):
        tracker.update(owner, "t", "k", None)
    assert tracker.entries("t")[0].meta == {"kept": 1}


def test_wrong_loop(run: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            outcome: dict[str, Any] = {}

            def other_thread() -> None:
                for name, call in {
                    "list": lambda: users.list("t"),
                    "get": lambda: users.get_by_key("t", "k"),
                    "synced": users.synced,
                    "settle": users.settle,
                    "stop": users.stop,
                }.items():
                    try:
                        asyncio.run(call())
                    except BaseException as error:
                        outcome[name] = error
                try:
                    users.subscribe("t")
                except BaseException as error:
                    outcome["subscribe"] = error

            thread = threading.Thread(target=other_thread)
            thread.start()
            await asyncio.to_thread(thread.join)
            assert len(outcome) == 6
            assert all(isinstance(error, libpresence.WrongThread) for error in outcome.values()), outcome
            assert "loop" in str(outcome["list"])
            assert await users.list("t") == {}

    run(main())


def test_every_class_of_the_table() -> None:
    for code, kind in _errors.BY_CODE.items():
        error = kind()
        assert isinstance(error, PresenceError)
        assert (error.code, error.name.startswith("PRESENCE_E")) == (code, True)
        assert str(error) and str(kind("why")) == "why"
        assert getattr(libpresence, kind.__name__) is kind
    bases = {
        "InvalidOption": "ValueError",
        "InvalidTopic": "TypeError",
        "NotTracked": "LookupError",
        "PresenceTimeout": "TimeoutError",
        "AddressError": "OSError",
        "ProtocolError": "ConnectionError",
        "TrackerClosed": "RuntimeError",
        "Unsupported": "NotImplementedError",
        "OutOfMemory": "MemoryError",
    }
    for name, base in bases.items():
        assert issubclass(getattr(libpresence, name), getattr(builtins, base)), name


def test_metas_go_through_unchanged(tracker: Any) -> None:
    meta = {"text": "ü😀\u2028\"\\\n\t", "n": [1, -2.5, 1e300, 2**63, True, None], "o": {"": {}}}
    tracker_owner = tracker.owner()
    tracker.track(tracker_owner, "t", "k", meta)
    assert tracker.entries("t")[0].meta == json.loads(json.dumps(meta))
