"""Several members in one process, on a virtual network, in virtual time: for the tests of programs that use libpresence.

    from libpresence.testing import Cluster

    def test_room():
        with Cluster(seed=1) as cluster:
            a, b = cluster.start("a"), cluster.start("b")
            with a.owner() as owner:
                a.track(owner, "room", "u1")
                cluster.settle()
                assert list(b.list("room")) == ["u1"]
            cluster.settle()
            assert b.count("room") == 0

Members are ordinary `Tracker`s, or `Presence`s in an `AsyncCluster`. Nothing real is opened and nothing sleeps: time
stands still but in `run`, `settle`, `until` and `synced`, and the same seed gives the same history. When these return,
callbacks and fetches of what happened are done, and subscriptions hold their events. All durations of the members are
virtual too: heartbeats, leases, `permdown_ms`; not so `fetch_timeout_ms` and the `timeout` of a subscription.

`listen`, `join` and `advertise` mean what they always mean, within the cluster. A member without `join` joins all that
run; a name that is started again gets the address it had. Since 0.1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, overload

from ._errors import InvalidArgument, TrackerClosed, WrongState
from ._hooks import call_hook
from ._native import Core
from ._network import KILL, VANISH, SettleTimeout, network_of
from ._presence import Presence
from ._tracker import Tracker
from ._values import seconds

__all__ = ["AsyncCluster", "Cluster", "SettleTimeout"]

Member = TypeVar("Member", Tracker, Presence)
T = TypeVar("T", bound=Tracker)
P = TypeVar("P", bound=Presence)
Result = TypeVar("Result")
Self = TypeVar("Self", bound="_Members[Any]")

LIMIT = 120.0  # seconds of virtual time
_LOOK = 10  # ms between two looks at a condition


class _Members(Generic[Member]):
    """What needs no waiting."""

    _kind: type[Any]

    def __init__(self, seed: int = 0, *, latency: tuple[float, float] = (0.001, 0.003), **options: Any) -> None:
        self._network = network_of(seed, latency)
        self._options = options
        self._added: list[Member] = []

    @property
    def now(self) -> float:
        """Virtual seconds since the cluster was made."""
        return self._network.now / 1000

    @property
    def members(self) -> list[Member]:
        """Those that run, in the order in which they were added."""
        return [member for member in self._added if member._started()]

    def _adopt(self, member: Any) -> None:
        if not isinstance(member, self._kind):
            raise InvalidArgument(f"the members of a {type(self).__name__} are {self._kind.__name__}s, not {member!r}")
        if member._core is not None:
            raise WrongState("started already: it cannot move to a cluster any more")
        member._options.network = self._network
        self._added.append(member)

    def _make(self, cls: Any, name: str | None, options: dict[str, Any]) -> Any:
        if not (isinstance(cls, type) and issubclass(cls, self._kind)):
            raise InvalidArgument(f"the members of a {type(self).__name__} are {self._kind.__name__}s, not {cls!r}")
        named = {} if name is None else {"name": name}
        member = cls(**{**self._options, **options, **named})
        self._adopt(member)
        return member

    def _core_of(self, member: Member) -> Core:
        core = getattr(member, "_core", None)
        if core is None and isinstance(member, self._kind):
            raise WrongState("not started")
        if not isinstance(core, Core) or not any(member is added for added in self._added):
            raise InvalidArgument(f"{member!r} is no member of this cluster")
        return core

    # ---- faults ----

    def partition(self, *groups: Iterable[Member]) -> None:
        """Members of different groups cannot reach each other; those not named are one more group. What is under way
        waits, dials time out. It replaces an earlier partition; a member started later is among those not named,
        unless it is a restart."""
        sides: dict[int, int] = {}
        for side, group in enumerate(groups, 1):
            for member in [group] if isinstance(group, self._kind) else group:
                self._core_of(member)
                if id(member) in sides:
                    raise InvalidArgument(f"{member!r} is named twice")
                sides[id(member)] = side
        for member in self.members:
            self._network.partition(self._core_of(member), sides.get(id(member), 0))

    def block(self, source: Member, target: Member, *, both: bool = True) -> None:
        """Nothing goes from one to the other, nor back unless `both` is False."""
        self._network.block(self._core_of(source), self._core_of(target))
        if both:
            self._network.block(self._core_of(target), self._core_of(source))

    def heal(self) -> None:
        """Everybody can reach everybody again."""
        self._network.heal()

    def pause(self, member: Member) -> None:
        """It stands still, as after SIGSTOP: hears nothing and says nothing. Calls on it still work."""
        self._network.pause(self._core_of(member))

    def resume(self, member: Member) -> None:
        self._network.resume(self._core_of(member))

    def _kill(self, member: Member, silent: bool) -> None:
        core = self._core_of(member)
        self._network.crash(core, VANISH if silent else KILL)
        core.end_text = f"the member {core.options.text('name')!r} was crashed by the test"

    # ---- time ----

    def _until(self, duration: float, what: str) -> int:
        return self._network.now + round(seconds(what, duration) * 1000)

    def _to_serve(self, everybody: bool) -> list[Member]:
        return [member for member in self.members if self._network.waits(self._core_of(member)) or everybody]


class Cluster(_Members[Tracker]):
    """Members that are `Tracker`s; `options` are the defaults of all. To be used by one thread."""

    _kind = Tracker

    @overload
    def start(self, name: str | None, cls: type[T], **options: Any) -> T: ...
    @overload
    def start(self, name: str | None = None, *, cls: type[T], **options: Any) -> T: ...
    @overload
    def start(self, name: str | None = None, **options: Any) -> Tracker: ...
    def start(self, name: str | None = None, cls: type[Any] = Tracker, **options: Any) -> Any:
        """Makes a member and starts it."""
        return self._make(cls, name, options).start()

    def add(self, member: T) -> T:
        """A member made elsewhere, not started yet: when it starts, it starts here."""
        self._adopt(member)
        return member

    def crash(self, member: Tracker, *, silent: bool = False) -> None:
        """It ends without a word; calls on it raise TrackerClosed. `silent`: as when the power fails, so that not
        even its connections close."""
        self._kill(member, silent)
        member.stop(0)

    def stop(self, member: Tracker) -> None:
        """It leaves, as by its own `stop`."""
        self._core_of(member)
        member.stop()

    def run(self, duration: float) -> None:
        """Lets virtual time pass, in seconds."""
        until = self._until(duration, "duration")
        self._serve(True)
        while self._network.advance(until):
            self._serve(False)
        self._serve(True)

    def settle(self, limit: float = LIMIT) -> None:
        """Until nothing is under way and every member shows exactly what the live members it can reach track, and
        calls those, and nobody else, up. SettleTimeout when that does not come true within `limit` seconds of virtual
        time: its text says who disagrees."""
        until = self._until(limit, "limit")
        self._serve(True)
        while True:
            waiting = self._network.settle(until)
            self._serve(not waiting)
            if not waiting and self._network.agreed():
                return

    def until(self, condition: Callable[[], Result], limit: float = LIMIT) -> Result:
        """Lets time pass until the condition holds; gives its value. SettleTimeout after `limit` seconds."""
        until = self._until(limit, "limit")
        self._serve(True)
        while not (result := condition()):
            if self._network.now >= until:
                raise SettleTimeout(f"the condition did not come true within {limit:g} s of virtual time")
            self._network.advance(min(until, self._network.now + _LOOK))
            self._serve(False)
        return result

    def _serve(self, everybody: bool) -> None:
        for member in self._to_serve(everybody):
            try:
                member.settle()
            except TrackerClosed:  # it stopped meanwhile
                pass

    def close(self) -> None:
        """Stops all members."""
        for member in self.members:
            member.stop(1)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class AsyncCluster(_Members[Presence]):
    """The same for `Presence`, on one event loop: what may serve callbacks is awaited."""

    _kind = Presence

    @overload
    async def start(self, name: str | None, cls: type[P], **options: Any) -> P: ...
    @overload
    async def start(self, name: str | None = None, *, cls: type[P], **options: Any) -> P: ...
    @overload
    async def start(self, name: str | None = None, **options: Any) -> Presence: ...
    async def start(self, name: str | None = None, cls: type[Any] = Presence, **options: Any) -> Any:
        """Makes a member and starts it."""
        return await self._make(cls, name, options).start()

    def add(self, member: P) -> P:
        """As Cluster.add."""
        self._adopt(member)
        return member

    async def crash(self, member: Presence, *, silent: bool = False) -> None:
        """As Cluster.crash."""
        self._kill(member, silent)
        await member.stop(0)

    async def stop(self, member: Presence) -> None:
        """It leaves, as by its own `stop`."""
        self._core_of(member)
        await member.stop()

    async def run(self, duration: float) -> None:
        """Lets virtual time pass, in seconds."""
        until = self._until(duration, "duration")
        await self._serve(True)
        while self._network.advance(until):
            await self._serve(False)
        await self._serve(True)

    async def settle(self, limit: float = LIMIT) -> None:
        """As Cluster.settle."""
        until = self._until(limit, "limit")
        await self._serve(True)
        while True:
            waiting = self._network.settle(until)
            await self._serve(not waiting)
            if not waiting and self._network.agreed():
                return

    async def until(self, condition: Callable[[], Any], limit: float = LIMIT) -> Any:
        """As Cluster.until; the condition may be asynchronous."""
        until = self._until(limit, "limit")
        await self._serve(True)
        while True:
            value = await call_hook(condition)
            if value:
                return value
            if self._network.now >= until:
                raise SettleTimeout(f"the condition did not come true within {limit:g} s of virtual time")
            self._network.advance(min(until, self._network.now + _LOOK))
            await self._serve(False)

    async def _serve(self, everybody: bool) -> None:
        for member in self._to_serve(everybody):
            try:
                await member.settle()
            except TrackerClosed:
                pass

    async def close(self) -> None:
        """Stops all members."""
        for member in self.members:
            await member.stop(1)

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()
