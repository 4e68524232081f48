"""Deploys: all members restart one after the other, while their users reconnect to the others."""

import signal
import types

from conftest import LANGUAGES, lasting_address, until

USERS = 1000
GRACE_MS = 60_000


class Fleet:
    """three members that restart under their names and addresses, and users that are connected to one of them"""

    def __init__(self, start, **options):
        self.start, self.options, self.addresses = start, options, [lasting_address() for _ in range(3)]
        self.lasts, self.users, self.members = [], {}, [None] * 3
        for place in range(3):
            self.open(place)

    def open(self, place):
        self.members[place] = member = self.start(LANGUAGES[place % len(LANGUAGES)], name=f"web-{place}", listen=self.addresses[place],
                                                  join=[types.SimpleNamespace(address=address) for address in self.addresses], **self.options)
        member("subscribe", topic="room")
        until(lambda: all(other is None or (other.status(f"web-{place}") == "up" and member.status(f"web-{at}") == "up")
                          for at, other in enumerate(self.members)), "all see it", 20)

    def connect(self, user, place):
        member = self.members[place]
        owner = member("owner")
        member.track(owner, "room", user, {"at": place})
        self.users[user] = (place, owner)

    def look(self):
        """folds what has come and keeps the leaves that took a key offline"""
        for member in self.members:
            self.lasts += [change["key"] for event in member.fold() for change in event["changes"] if change["last"]]

    def agreed(self):
        self.look()
        return all(member("count", topic="room") == [len(self.users)] * 2 and len(member.folded.get("room", {})) == len(self.users) for member in self.members)

    def restart(self, place):
        self.look()
        self.members[place]("stop")
        self.members[place].end()
        for number, user in enumerate([user for user, (at, _) in self.users.items() if at == place]):
            self.connect(user, (place + 1 + number % 2) % 3)
        self.open(place)
        until(self.agreed, lambda: [member("count", topic="room") for member in self.members], 30)


def test_a_rolling_restart_takes_nobody_offline(start):
    fleet = Fleet(start, leave_grace_ms=GRACE_MS)
    for number in range(USERS):
        fleet.connect(f"user-{number}", number % 3)
    until(fleet.agreed, "all see all", 30)
    for place in range(3):
        fleet.restart(place)
    assert fleet.lasts == []
    place, owner = fleet.users.pop("user-7")
    fleet.members[place]("untrack", owner=owner)
    until(fleet.agreed, "the others")
    assert fleet.lasts == ["user-7"] * 3


def test_a_stop_waits_for_nobody(start):
    """a peer that stands still, with as much on its way to it as fits: the others are told all the same"""
    languages = (LANGUAGES * 3)[:3]
    first = start(languages[0], name="first", listen=lasting_address())
    second, still = (start(language, name=name, join=[first]) for language, name in zip(languages[1:], ("second", "still"), strict=True))
    until(lambda: {first.status("still"), first.status("second"), second.status("first")} == {"up"}, "the links", 20)
    second("subscribe", topic="room")
    still.kill(signal.SIGSTOP)
    owner = first("owner")
    for number in range(500):
        first.track(owner, f"large:{number}", "key", {"text": "x" * 8000})
    first.track(owner, "room", "u1")
    first("stop")  # within its 5 s, or it would be refused
    assert [(change["kind"], change["reason"] or "") for change in second.changes(2)] == [("join", ""), ("leave", "member_left")]
    until(lambda: second.status("first") is None, "it is gone")
