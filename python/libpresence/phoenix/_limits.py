"""What one socket may cost."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .._errors import InvalidOption


@dataclass(frozen=True)
class Limits:
    """Limits of one socket. What goes beyond closes the socket (or is refused by a reply) and is logged once."""

    connect_seconds: float = 5  # for the connect function, else the client is refused; and before, for the first sync
    frame_bytes: int = 65_536  # of a frame from the client; more: close 1009
    joins: int = 100  # channels joined at a time; more: an error reply "too many channels joined"
    events_per_second: float = 100  # frames from the client, on average; more: close 1008
    events_burst: int = 400  # frames at once
    idle_seconds: float = 60  # without a frame from the client (it sends heartbeats every 30 s): close 1001
    pending_events: int = 64  # of one channel, not handled yet; the socket is not read while there are more
    send_bytes: int = 1_048_576  # frames that wait for a client; more broadcasts: close 1013 (presence waits, then resyncs)
    close_seconds: float = 2  # to write the close frame, and for on_leave when the endpoint closes

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise InvalidOption(f"limit {field.name} must be a positive number, not {value!r}")
