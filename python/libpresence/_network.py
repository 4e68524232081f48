"""A virtual network of the core, and the time that only its owner moves."""

from __future__ import annotations

from typing import Any

from ._errors import BY_CODE, InternalError, InvalidArgument, OutOfMemory, PresenceTimeout
from ._ffi import ffi, lib
from ._native import Core

KILL, VANISH = 1, 2


class SettleTimeout(PresenceTimeout):
    """The members did not come to agree in time; the text says who disagrees about what."""


class Network:
    """Calls as in presence/sim.h; durations in whole milliseconds, errors raised."""

    def __init__(self, seed: int, latency: tuple[int, int]) -> None:
        pointer = lib.presence_sim_new(seed)
        if not pointer:
            raise OutOfMemory()
        self._pointer = ffi.gc(pointer, lib.presence_sim_free)
        self._check(lib.presence_sim_latency(self._pointer, *latency))

    def start(self, config: Any, out: Any) -> int:
        """For the core that opens itself here: a code, the config says why."""
        return int(lib.presence_sim_start(self._pointer, config, out))

    @property
    def now(self) -> int:
        return int(lib.presence_sim_now(self._pointer))

    def advance(self, until: int) -> bool:
        """To the next moment at which events wait for a consumer; False: it is `until`, and none do."""
        code = lib.presence_sim_step(self._pointer, until, 0)
        self._check(min(code, 0))
        return bool(code == 1)

    def settle(self, until: int) -> bool:
        """As advance; False: all agree."""
        code = lib.presence_sim_step(self._pointer, until, 1)
        if code == PresenceTimeout.code:
            raise SettleTimeout(self._message())
        self._check(min(code, 0))
        return bool(code == 1)

    def agreed(self) -> bool:
        try:
            return not self.settle(self.now)
        except SettleTimeout:
            return False

    def waits(self, core: Core) -> bool:
        return bool(lib.presence_sim_waiting(self._pointer, core.pointer) == 1)

    def partition(self, core: Core, side: int) -> None:
        self._check(lib.presence_sim_partition(self._pointer, core.pointer, side))

    def block(self, source: Core, target: Core) -> None:
        self._check(lib.presence_sim_block(self._pointer, source.pointer, target.pointer, 1))

    def heal(self) -> None:
        self._check(lib.presence_sim_heal(self._pointer))

    def crash(self, core: Core, death: int) -> None:
        self._check(lib.presence_sim_crash(self._pointer, core.pointer, death))

    def pause(self, core: Core) -> None:
        self._check(lib.presence_sim_pause(self._pointer, core.pointer))

    def resume(self, core: Core) -> None:
        self._check(lib.presence_sim_resume(self._pointer, core.pointer))

    def _message(self) -> str:
        return str(ffi.string(lib.presence_sim_message(self._pointer)).decode("utf-8", "replace"))

    def _check(self, code: int) -> None:
        if code:
            raise BY_CODE.get(code, InternalError)(self._message() or None)


def network_of(seed: Any, latency: Any) -> Network:
    """Checks what a user gave."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InvalidArgument(f"seed must be a whole number, not {seed!r}")
    try:
        least, most = (round(float(part) * 1000) for part in latency)
    except (TypeError, ValueError):
        raise InvalidArgument(f"latency must be (least, most) in seconds, not {latency!r}") from None
    if not 0 <= least <= most <= 3_600_000:
        raise InvalidArgument(f"latency must be 0 to 3600 seconds, the least first, not {latency!r}")
    return Network(seed & (1 << 64) - 1, (least, most))
