"""The quick way of track, update and track_many (glue_marshal.c) does what the long way by JSON does, or nothing."""

import enum
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import libpresence
from libpresence import Tracker
from libpresence._native import ffi, lib
from libpresence._values import key_bytes, meta_bytes, plain, topic_bytes

# The same examples at each run, however busy the machine is.
FIXED = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}

text = st.text(max_size=12) | st.sampled_from(["\0", "\x1f\b\f\n\r\t\"\\", "\ud800", "é€😀", "a" * 300])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(2**53) - 2, 2**53 + 2) | st.floats() | text | st.binary(),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(text, inner, max_size=4)
    | st.tuples(inner, inner)
    | st.dictionaries(st.integers() | st.booleans(), inner, max_size=2),
    max_leaves=12,
)
metas = st.dictionaries(text | st.sampled_from(["phx_ref", "phx_ref_prev"]), values, max_size=5) | st.none()


class Colour(enum.IntEnum):
    RED = 1


class Names(dict):
    pass


@pytest.fixture(scope="module")
def tracker():
    with Tracker(listen="") as opened:
        yield opened


def long_way(tracker, owner, topic, key, meta):
    """The error or the state after JSON of Python's own."""
    core = tracker._core
    try:
        core.track(owner._id, topic_bytes(topic), key_bytes(key), meta_bytes(meta))
    except libpresence.PresenceError as error:
        return type(error)
    return core.state(topic_bytes(topic)).text


def without_refs(state):
    """The text of a state; its only parts that differ are the refs."""
    head, _, tail = state.partition(b'"phx_ref":"')
    return head + tail[22:]


@settings(max_examples=100, **FIXED)
@given(topic=text, key=text | st.integers(), meta=metas)
def test_both_ways_are_one(tracker, topic, key, meta):
    with tracker.owner() as owner:
        wanted = long_way(tracker, owner, topic, key, meta)
    with tracker.owner() as owner:
        quick = tracker._core.change_plain(owner._id, (topic, key, meta), False)
        if quick is not None:
            assert without_refs(tracker._core.state(topic.encode()).text) == without_refs(wanted)
    with tracker.owner() as owner:
        try:
            tracker.track(owner, topic, key, meta)
            found = tracker._core.state(topic_bytes(topic)).text
            assert without_refs(found) == without_refs(wanted)
        except libpresence.PresenceError as error:
            assert type(error) is wanted


@settings(max_examples=60, **FIXED)
@given(meta=metas)
def test_updates_too(tracker, meta):
    with tracker.owner() as owner, tracker.owner() as other:
        tracker.track(owner, "updated", "k", {"other": 1})
        wanted = long_way(tracker, other, "tracked", "k", meta)
        try:
            tracker.update(owner, "updated", "k", meta)
        except libpresence.PresenceError as error:
            assert type(error) is (libpresence.InvalidMeta if meta is None else wanted)
        else:
            assert tracker.list("updated")["k"]["metas"][0].items() >= {
                name: value for name, value in tracker.list("tracked")["k"]["metas"][0].items() if name != "phx_ref"
            }.items()


@pytest.mark.parametrize(
    "meta",
    [None, {}, {"at": 1_700_000_000_000, "n": -1, "on": True, "to": None}, {"in": [1, (2, "x"), {"deep": []}]}, {"é": "\n"}],
)
def test_the_usual_goes_the_quick_way(tracker, meta):
    with tracker.owner() as owner:
        assert tracker._core.change_plain(owner._id, ("quick", "k", meta), False)
        found = tracker.list("quick")["k"]["metas"][0]
        found.pop("phx_ref")
        assert found == json.loads(json.dumps(meta or {}))


@pytest.mark.parametrize("meta", [{"at": 1.5}, {1: 2}, {"c": Colour.RED}, Names(a=1), {"n": Names(a=1)}, {"b": b"x"}, {"n": 2**70}])
def test_the_unusual_does_not(tracker, meta):
    with tracker.owner() as owner:
        assert tracker._core.change_plain(owner._id, ("quick", "k", meta), False) is None
        assert tracker.count("quick") == 0


def test_many_at_once(tracker):
    with tracker.owner() as owner:
        items = [("many", f"k{i}", {"i": i} if i % 2 else None) for i in range(300)] + [("many", "k300")]
        refs = tracker._core.track_many_plain(owner._id, items)
        listed = tracker.list("many")
        assert [listed[f"k{i}"]["metas"][0]["phx_ref"] for i in range(301)] == refs
        assert listed["k7"]["metas"][0]["i"] == 7
        assert tracker._core.track_many_plain(owner._id, [("many", "new", {}), ("many", "k7", {})]) is None
        with pytest.raises(libpresence.AlreadyTracked) as caught:
            tracker.track_many(owner, [("many", "new", {}), ("many", "k7", {})])
        assert caught.value.index == 1 and tracker.count("many") == 301


@settings(max_examples=100, **FIXED)
@given(cut=st.integers(0, 90), at=st.integers(0, 90), byte=st.integers(0, 255))
def test_a_torn_or_changed_text_harms_nothing(tracker, cut, at, byte):
    whole = bytearray(plain(("torn", "key", {"a": [1, 1 << 40, True, None, "x"], "b": {"c": "d"}})))
    whole[min(at, len(whole) - 1)] = byte
    torn = bytes(whole[: len(whole) - cut])
    room = ffi.new("char[64]")
    with tracker.owner() as owner:
        single = lib.glue_change_plain(tracker._core.pointer, owner._id, torn, len(torn), 0, room)
        assert (single == 0) == bool(tracker.topics())
        assert single != 0 or cut == 0
        many = b"[\1\0\0\0" + torn
        lib.glue_track_many_plain(tracker._core.pointer, owner._id, many, len(many), 1, room)
