"""Every guarantee of docs/guarantees.md, per pair of languages."""

import json
import random
import signal

import pytest
from conftest import LANGUAGES, Refused, refs, until


def test_own_writes_are_visible(pair):
    first, _ = pair
    owner = first("owner")
    for number in range(20):
        ref = first.track(owner, "room", f"k{number}", {"n": number})
        assert first("get", topic="room", key=f"k{number}")["metas"] == [{"n": number, "phx_ref": ref}]
        assert first("count", topic="room") == [number + 1, number + 1]
        newer = first.update(owner, "room", f"k{number}", {"n": -1})
        assert first("get", topic="room", key=f"k{number}")["metas"] == [{"n": -1, "phx_ref": newer, "phx_ref_prev": ref}]
    assert first("untrack", owner=owner, topic="room", key="k0") == 1
    assert "k0" not in first.keys("room")
    assert first("untrack", owner=owner) == 19
    assert first.list("room") == {}


def test_the_other_sees_the_same(pair):
    first, second = pair
    owners = {member: member("owner") for member in pair}
    for member in pair:
        other = second if member is first else first
        ref = member.track(owners[member], "room", member.options["name"], {"text": "ünïcode ☃", "deep": {"a": [1, None]}})
        until(lambda: member.options["name"] in other.keys("room"))
        assert other.list("room") == member.list("room")
        assert other.list("room")[member.options["name"]]["metas"][0]["phx_ref"] == ref
    assert first("count", topic="room") == second("count", topic="room") == [2, 2]


def test_metas_of_one_key_are_in_the_same_order(pair):
    first, second = pair
    for member in pair:
        for number in range(3):
            member.track(member("owner"), "room", "u1", {"tab": number})
    until(lambda: all(member("count", topic="room") == [1, 6] for member in pair))
    assert first.list("room") == second.list("room")


def test_an_update_is_one_diff_with_join_and_leave(pair):
    first, second = pair
    owner = first("owner")
    old = first.track(owner, "room", "u1", {"status": "online"})
    until(lambda: second.keys("room") == {"u1"})
    second("subscribe", topic="room")
    second.fold()
    new = first.update(owner, "room", "u1", {"status": "away"})
    event = until(second.fold)[0]
    assert event["event"] == "presence_diff"
    assert event["payload"]["joins"]["u1"]["metas"] == [{"status": "away", "phx_ref": new, "phx_ref_prev": old}]
    assert event["payload"]["leaves"]["u1"]["metas"] == [{"status": "online", "phx_ref": old}]
    [change] = event["changes"]
    assert (change["kind"], change["ref"], change["prev_ref"], change["member"]) == ("update", new, old, "first")
    assert not change["first"] and not change["last"]


def test_edges_and_reasons(pair):
    first, second = pair
    second("subscribe", topic="room")
    one, two = first("owner"), first("owner")
    first.track(one, "room", "u1")
    first.track(two, "room", "u1")
    until(lambda: second("count", topic="room") == [1, 2])
    changes = second.changes(2)
    assert [change["first"] for change in changes] == [True, False]
    first("untrack", owner=one, topic="room", key="u1")
    until(lambda: second("count", topic="room") == [1, 1])
    first("close_owner", owner=two)
    until(lambda: second("count", topic="room") == [0, 0])
    changes = second.changes(2)
    assert [(change["reason"], change["last"]) for change in changes] == [("untrack", False), ("owner_closed", True)]


def test_a_lease_runs_out(pair):
    first, second = pair
    first.track(first("owner", lease=150), "room", "u1")
    until(lambda: second.keys("room") == {"u1"})
    second("subscribe", topic="room")
    until(lambda: second.keys("room") == set())
    assert [change["reason"] for change in second.changes(1)] == ["lease"]


def test_folding_diffs_gives_the_list(pair):
    dice = random.Random(3)
    topics = ["a", "b"]
    held = {member: {} for member in pair}
    for member in pair:
        for topic in topics:
            member("subscribe", topic=topic)
    for _ in range(150):
        member = dice.choice(pair)
        owners = held[member]
        roll = dice.random()
        if roll < 0.4 or not owners:
            owner = member("owner")
            owners[owner] = (dice.choice(topics), f"u{dice.randrange(8)}")
            member.track(owner, *owners[owner], {"n": dice.randrange(100)})
        elif roll < 0.7:
            owner = dice.choice(list(owners))
            member.update(owner, *owners[owner], {"n": dice.randrange(100)})
        else:
            owner = dice.choice(list(owners))
            del owners[owner]
            member("close_owner", owner=owner)
        member.fold()
    metas = sum(len(owners) for owners in held.values())
    until(lambda: all(sum(member("count", topic=t)[1] for t in topics) == metas for member in pair))
    for topic in topics:
        lists = [member.list(topic) for member in pair]
        assert lists[0] == lists[1]
        for member in pair:
            until(lambda: member.fold() is not None and member.folded[topic] == refs(lists[0]), lambda: (member.folded[topic], lists[0]))


def test_nobody_changes_the_entry_of_another(pair):
    first, second = pair
    first.track(first("owner"), "room", "u1", {"mine": 1})
    until(lambda: second.keys("room") == {"u1"})
    for member in pair:
        stranger = member("owner")
        with pytest.raises(Refused) as refused:
            member.update(stranger, "room", "u1", {"mine": 2})
        assert refused.value.code == "NOT_TRACKED"
        assert member("untrack", owner=stranger, topic="room", key="u1") == 0
    assert first.list("room") == second.list("room")
    assert first.list("room")["u1"]["metas"][0]["mine"] == 1


def test_update_if_only_with_the_current_ref(pair):
    first, _ = pair
    owner = first("owner")
    old = first.track(owner, "room", "u1", {"n": 1})
    new = first.update(owner, "room", "u1", {"n": 2}, if_ref=old)
    with pytest.raises(Refused) as refused:
        first.update(owner, "room", "u1", {"n": 3}, if_ref=old)
    assert refused.value.code == "STALE_REF"
    assert first("get", topic="room", key="u1")["metas"][0]["phx_ref"] == new
    assert first.update(owner, "room", "u1", {"n": 2}) == new


def test_a_kill_is_seen_and_hides_only_the_dead(pair):
    first, second = pair
    second.track(second("owner"), "room", "mine")
    first.track(first("owner"), "room", "theirs")
    until(lambda: second.keys("room") == {"mine", "theirs"})
    second("subscribe", topic="room")
    first.kill()
    until(lambda: second.keys("room") == {"mine"})
    until(lambda: second.status("first") == "down")
    changes = second.changes(1)
    assert [(c["kind"], c["key"], c["reason"], c["last"]) for c in changes] == [("leave", "theirs", "member_down", True)]


def test_a_stop_is_told(pair):
    first, second = pair
    first.track(first("owner"), "room", "u1")
    until(lambda: second.keys("room") == {"u1"})
    second("subscribe", topic="room")
    first("stop")
    until(lambda: second.keys("room") == set())
    assert [change["reason"] for change in second.changes(1)] == ["member_left"]
    with pytest.raises(Refused) as refused:
        first("owner")
    assert refused.value.code == "CLOSED"


def test_a_stopped_process_comes_back_without_tracking_again(pair):
    first, second = pair
    owner = first("owner")
    ref = first.track(owner, "room", "u1", {"n": 1})
    until(lambda: second.keys("room") == {"u1"})
    first.kill(signal.SIGSTOP)
    until(lambda: second.keys("room") == set(), seconds=20)
    assert second.status("first") in ("down", "suspect")
    first.kill(signal.SIGCONT)
    until(lambda: second.keys("room") == {"u1"}, seconds=20)
    assert second.list("room")["u1"]["metas"][0]["phx_ref"] == ref


def test_a_restart_under_the_same_name_replaces_at_once(pair, start):
    first, second = pair
    first.track(first("owner"), "room", "old")
    until(lambda: second.keys("room") == {"old"})
    first.kill()
    again = start(first.language, name="first", listen=first.address, join=[second])
    again.track(again("owner"), "room", "new")
    until(lambda: second.keys("room") == {"new"})
    until(lambda: again.keys("room") == {"new"})
    assert [m["name"] for m in second("members")].count("first") == 1


def test_the_older_of_two_with_one_name_yields(pair, start):
    first, second = pair
    start(second.language, name="first", join=[second])

    def yielded():
        try:
            first("count", topic="room")
        except Refused as refused:
            return refused.code == "NAME_CONFLICT"
    until(yielded, seconds=20)


def test_members_with_different_limits_agree(start):
    small = start(LANGUAGES[len(LANGUAGES) // 2], name="small", meta_bytes=64, key_bytes=8, topic_bytes=8)
    large = start(LANGUAGES[0], name="large", join=[small])
    meta = {"text": "x" * 5000}
    large.track(large("owner"), "a topic of more", "a key of more", meta)
    until(lambda: small.list("a topic of more") == large.list("a topic of more") != {})
    with pytest.raises(Refused) as refused:
        small.track(small("owner"), "room", "u1", meta)
    assert refused.value.code == "LIMIT"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("bad, code", [
    ({"topic": ""}, "INVALID_TOPIC"), ({"topic": "t" * 256}, "INVALID_TOPIC"), ({"topic": "a\0b"}, "INVALID_TOPIC"),
    ({"key": ""}, "INVALID_KEY"), ({"key": "k" * 256}, "INVALID_KEY"),
    ({"meta": {"phx": "y" * 9000}}, "LIMIT"),
])
def test_bad_input_has_a_name_and_changes_nothing(start, language, bad, code):
    member = start(language)
    owner = member("owner")
    arguments = {"topic": "room", "key": "u1", "meta": {}, **bad}
    with pytest.raises(Refused) as refused:
        member.track(owner, **arguments)
    assert refused.value.code == code
    assert member("stop") is None


def test_one_seed_gives_the_full_mesh(start):
    seed = start(LANGUAGES[0], name="seed")
    others = [start(language, name=f"{language}{n}", join=[seed]) for n in range(2) for language in LANGUAGES]
    everyone = [seed, *others]
    for member in everyone:
        member.track(member("owner"), "room", member.options["name"])
    names = {member.options["name"] for member in everyone}
    for member in everyone:
        until(lambda: member.keys("room") == names, lambda: (member.options["name"], member.keys("room")))
        until(lambda: {m["name"] for m in member("members") if m["status"] == "up"} == names)
    seed.kill()
    for member in others:
        until(lambda: member.keys("room") == names - {"seed"})


def test_two_clusters_do_not_mix(start):
    one = start(LANGUAGES[0], name="one", cluster="one")
    two = start(LANGUAGES[-1], name="two", cluster="two", join=[one])
    assert two("synced", timeout=5000) == "alone"
    one.track(one("owner"), "room", "u1")
    two.track(two("owner"), "room", "u2")
    assert one.keys("room") == {"u1"} and two.keys("room") == {"u2"}
    assert two.status("one") is None


def test_a_newcomer_has_everything_once_synced(pair, start):
    first, second = pair
    owner = first("owner")
    for number in range(300):
        first.track(owner, f"room{number % 7}", f"u{number}", {"n": number, "pad": json.dumps(list(range(20)))})
    newcomer = start(second.language, name="newcomer", join=[second])
    assert newcomer("synced", timeout=5000) == "synced"
    assert sum(newcomer("count", topic=f"room{n}")[0] for n in range(7)) == 300
    assert all(newcomer.list(f"room{n}") == first.list(f"room{n}") for n in range(7))


@pytest.mark.parametrize("codec", ["lz4", "zstd", "off"])
def test_a_compressed_state_is_read_in_every_language(start, codec):
    first = start(LANGUAGES[0], name="first", compression=codec)
    owner = first("owner")
    for number in range(300):
        first.track(owner, "room", f"u{number}", {"n": number, "status": "online"})
    others = [start(language, name=f"reader-{language}", join=[first]) for language in LANGUAGES]
    for other in others:
        assert other("synced", timeout=5000) == "synced"
        assert other.list("room") == first.list("room") != {}
    assert (first("saved") > 0) == (codec != "off")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_every_language_sends_compressed(start, language, codec):
    first = start(language, name="first", compression=codec)
    owner = first("owner")
    for number in range(300):
        first.track(owner, "room", f"u{number}", {"n": number, "status": "online"})
    reader = start(LANGUAGES[0], name="reader", join=[first])
    assert reader("synced", timeout=5000) == "synced"
    assert reader.list("room") == first.list("room") != {}
    assert first("saved") > 0
