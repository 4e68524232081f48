"""What Prometheus reads: the counters and members of this process's members as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import InvalidArgument, WrongState
from ._native import open_cores, read_metrics

if TYPE_CHECKING:
    from ._presence import Presence
    from ._tracker import Tracker


def metrics(*members: Presence | Tracker) -> str:
    """Counters, members, round trips and lags in Prometheus' text format 0.0.4 (`text/plain; version=0.0.4`): of the
    members given, else of all that run in this process. Those that have stopped are left out. Any thread.

    The names are documented in docs/operations.md. Since 0.1.0.
    """
    if not members:
        return read_metrics(open_cores())
    cores = []
    for member in members:
        if not hasattr(member, "_core"):
            raise InvalidArgument(f"metrics takes members, not {type(member).__name__}")
        if member._core is None:
            raise WrongState("not started yet")
        member._core.check_fork()
        cores.append(member._core)
    return read_metrics(cores)
