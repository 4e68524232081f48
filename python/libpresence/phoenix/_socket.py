"""What a Channel sees of its client: presences of this channel, pushes, and what the connect function let in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._errors import OwnerClosed
from .._owners import MetaOrFunction, Owner

if TYPE_CHECKING:
    from ._session import Session


class Socket:
    """One joined channel of a client. Its presences belong to `owner`, which closes when the channel ends."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._owner: Owner | None = None
        self.assigns: dict[str, Any] = dict(session.connection.assigns)  # this channel's own copy

    @property
    def id(self) -> str:
        """Of the connection: the same in all its channels."""
        return self._session.connection.id

    @property
    def topic(self) -> str:
        return self._session.topic

    @property
    def join_ref(self) -> str | None:
        return self._session.join_ref

    @property
    def closed(self) -> bool:
        return self._session.over

    @property
    def owner(self) -> Owner:
        """Made when it is asked for first; OwnerClosed after the channel ended."""
        if self._session.over:
            raise OwnerClosed("the channel is over")
        if self._owner is None:
            self._owner = self._session.endpoint.users.owner()
        return self._owner

    def track(self, key: Any, meta: Any = None) -> str:
        """Makes a presence in this channel's topic; returns its ref."""
        return self.owner.track(self.topic, key, meta)

    def update(self, key: Any, meta: MetaOrFunction, *, if_ref: str | None = None) -> str:
        return self.owner.update(self.topic, key, meta, if_ref=if_ref)

    def untrack(self, key: Any = None) -> int:
        """One presence of this channel, or all; returns how many left."""
        return self.owner.untrack() if key is None else self.owner.untrack(self.topic, key)

    def push(self, event: str, payload: Any) -> None:
        """An event to this client alone."""
        self._session.push(event, payload)

    def broadcast(self, event: str, payload: Any) -> None:
        """To every client in this topic on this server, this one included. Other servers' clients do not get it."""
        self._session.endpoint.broadcast(self.topic, event, payload)

    def broadcast_from(self, event: str, payload: Any) -> None:
        """As broadcast, but not to this client."""
        self._session.endpoint.broadcast(self.topic, event, payload, but=self)

    def end(self) -> None:
        if self._owner is not None:
            self._owner.close()
