"""Members of three languages with a secret and with certificates; strangers; rotation while all of them run."""

import os
import socket

import pytest
from conftest import LANGUAGES, SECRET, Authority, until

NEXT = "the secret that comes after it"


@pytest.fixture(autouse=True)
def own_security(monkeypatch):
    """these tests choose it themselves"""
    monkeypatch.delenv("LIBPRESENCE_TEST_SECURITY", raising=False)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "issuer")


def replace(path, text):
    """as one who writes secrets should: whole or not at all"""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def trio(start, **options):
    """one member of each language, each with a presence that all see"""
    members = []
    for language in LANGUAGES:
        members.append(start(language, name=language, join=members, connect_timeout_ms=5000, **options))
        members[-1].track(members[-1]("owner"), "room", language)
    for member in members:
        until(lambda: member.keys("room") == set(LANGUAGES), f"{member.language} sees all")
    return members


def statuses(member):
    return {other["name"]: other["status"] for other in member("members")}


def test_a_secret_lets_all_languages_in(start):
    members = trio(start, secret=SECRET)
    members[-1].kill()
    for member in members[:-1]:
        until(lambda: member.keys("room") == set(LANGUAGES[:-1]), "the dead is hidden")


def test_certificates_let_all_languages_in(start, authority):
    trio(start, **authority.issue("member"))


def test_one_name_for_all_certificates(start, authority):
    trio(start, tls_name="presence.example", **authority.issue("member", "DNS:presence.example"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_nobody_else_comes_in(start, authority, tmp_path, language):
    inside = start(language, name="inside", secret=SECRET)
    inside.track(inside("owner"), "room", "inside")
    certificate = authority.issue("member")
    strangers = [{"secret": NEXT}, {"secret": SECRET, "cluster": "other"}, {}, certificate]
    for number, options in enumerate(strangers):
        stranger = start("c", name=f"stranger-{number}", join=[inside], **options)
        stranger.track(stranger("owner"), "room", "stranger")
        assert stranger("synced", timeout=10000) == "alone"
        assert stranger.keys("room") == {"stranger"}
    member = start("c", name="member", join=[inside], secret=SECRET, connect_timeout_ms=5000)
    until(lambda: member.keys("room") == {"inside"}, "the one who belongs comes in")
    assert statuses(inside) == {"inside": "up", "member": "up"}
    assert inside.keys("room") == {"inside"}


def test_a_certificate_of_another_name_or_issuer_is_refused(start, authority, tmp_path):
    options = authority.issue("member")
    inside = start("c", name="inside", **options)
    other = Authority(tmp_path, "other")
    for number, wrong in enumerate([authority.issue("web", "DNS:web.example,IP:192.0.2.1"), {**other.issue("alien"), "tls_ca": options["tls_ca"]}]):
        stranger = start("c", name=f"stranger-{number}", join=[inside], **wrong)
        assert stranger("synced", timeout=10000) == "alone"
    assert statuses(inside) == {"inside": "up"}


def test_silent_connections_keep_nobody_out(start):
    inside = start("c", name="inside", secret=SECRET)
    host, port = inside.address.rsplit(":", 1)
    silent = [socket.create_connection((host, int(port))) for _ in range(300)]
    try:
        trio_member = start("python", name="member", join=[inside], secret=SECRET, connect_timeout_ms=5000)
        until(lambda: statuses(trio_member) == {"inside": "up", "member": "up"}, "it comes in")
    finally:
        for connection in silent:
            connection.close()


def no_leave(members):
    for member in members:
        for event in member.fold():
            assert all(change["kind"] != "leave" for change in event["changes"]), f"{member.language}: {event['changes']}"


def newcomer_everywhere(start, members, name, **options):
    """one that dials every member with these options comes in, which says that all of them have taken them"""
    for member in members:
        guest = start("c", name=f"{name}-{member.language}", join=[member], connect_timeout_ms=5000, **options)
        until(lambda: len([s for s in statuses(guest).values() if s == "up"]) > 1, f"{member.language} takes {name}", 15)
        guest.end()


def rotate(start, members, steps):
    """each step changes what all members prove themselves by; nobody who stays is ever gone"""
    for member in members:
        member("subscribe", topic="room")
    for number, (change, newcomer) in enumerate(steps):
        for member in members:
            change(member)
        newcomer_everywhere(start, members, f"guest-{number}", **newcomer)
    for member in members:
        assert member.keys("room") == set(LANGUAGES)
        assert {name: status for name, status in statuses(member).items() if name in LANGUAGES} == dict.fromkeys(LANGUAGES, "up")
    no_leave(members)


def test_a_secret_is_replaced_while_three_members_run(start, tmp_path):
    path = tmp_path / "secret"
    replace(path, SECRET)
    members = trio(start, secret_file=path)
    rotate(start, members, [
        (lambda member: replace(path, f"{SECRET}\n{NEXT}\n"), {"secret": NEXT}),
        (lambda member: replace(path, f"{NEXT}\n{SECRET}\n"), {"secret": f"{NEXT},{SECRET}"}),
        (lambda member: replace(path, NEXT), {"secret": NEXT}),
    ])

    def the_old_one_is_refused():
        late = start("c", join=members, secret=SECRET)
        alone = late("synced", timeout=10000) == "alone"
        late.end()
        return alone
    until(the_old_one_is_refused, "the old secret is forgotten", 15)


def test_an_issuer_is_replaced_while_three_members_run(start, authority, tmp_path):
    options = authority.issue("member")
    following = Authority(tmp_path, "following")
    fresh = following.issue("fresh")
    bundle = tmp_path / "bundle.pem"
    replace(bundle, authority.cert.read_text())
    both = authority.cert.read_text() + following.cert.read_text()
    fresh["tls_ca"] = str(tmp_path / "both.pem")
    (tmp_path / "both.pem").write_text(both)
    members = trio(start, **{**options, "tls_ca": str(bundle)})
    rotate(start, members, [(lambda member: replace(bundle, both), fresh)])
