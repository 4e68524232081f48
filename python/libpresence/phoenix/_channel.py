"""What an application writes: a Channel class per topic pattern, and Refuse to say no."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._socket import Socket


class Refuse(Exception):
    """Raised by a connect function, on_join or on_event: the client gets an error with this reason.

    `reason` is text, or a dict that becomes the whole response.
    """

    def __init__(self, reason: str | dict[str, Any] = "unauthorized") -> None:
        super().__init__(reason)
        self.response: dict[str, Any] = dict(reason) if isinstance(reason, dict) else {"reason": str(reason)}


class Channel:
    """One joined channel of one socket; an instance is made for each join.

    `presence`: whether presence_state and then every presence_diff of the topic are pushed to the client.
    """

    presence = True

    def on_join(self, topic: str, params: Any, socket: Socket) -> Any | Awaitable[Any]:
        """Lets the client in; what it returns is the response (None: {}). Raise Refuse to keep it out."""
        return None

    def on_event(self, event: str, payload: Any, socket: Socket) -> Any | Awaitable[Any]:
        """An event of the client, one at a time; a dict is its reply, None means none. Raise Refuse for an error reply.

        A push of an ArrayBuffer has bytes as its payload.

        Any other exception ends the channel with phx_error, as in Phoenix; the client joins again.
        """
        raise Refuse("unmatched event")

    def on_leave(self, reason: str, socket: Socket) -> None | Awaitable[None]:
        """The channel is over: left, closed (the socket ended), replaced (joined again), error, shutdown.

        Its presences have left already.
        """
        return None
