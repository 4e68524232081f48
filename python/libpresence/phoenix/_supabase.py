"""Presence for @supabase/realtime-js: a thin layer that speaks its events on a Phoenix channel.

Its channel `supabase.channel("room")` is the topic `realtime:room`; register this class, or a subclass, for
`realtime:*`. Served are presence (track, untrack, the join's presence config), broadcast to this server's clients, and
access_token. Changes of a database are not: their list is always empty.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable
from typing import Any

from .._errors import NotTracked, PresenceError
from ._channel import Channel, Refuse
from ._socket import Socket


class SupabaseChannel(Channel):
    """Subclasses may override `authorize` (called with the token at the join and whenever the client renews it)."""

    def authorize(self, topic: str, token: str | None, socket: Socket) -> None | Awaitable[None]:
        """Raise Refuse to keep the client out."""
        return None

    async def on_join(self, topic: str, params: Any, socket: Socket) -> dict[str, Any]:
        params = params if isinstance(params, dict) else {}
        config = _dict(params.get("config"))
        await self._authorized(topic, params.get("access_token"), socket)
        presence, broadcast = _dict(config.get("presence")), _dict(config.get("broadcast"))
        self._key = _text(presence.get("key")) or str(uuid.uuid4())
        self._meta: str | None = None
        self._echo, self._acknowledge = bool(broadcast.get("self")), bool(broadcast.get("ack"))
        return {"postgres_changes": []}

    async def on_event(self, event: str, payload: Any, socket: Socket) -> dict[str, Any] | None:
        payload = _dict(payload)
        if event == "presence":
            return self._presence(payload, socket)
        if event == "broadcast":
            if isinstance(payload.get("payload"), bytes):
                raise Refuse("broadcasts of bytes are not served")
            (socket.broadcast if self._echo else socket.broadcast_from)("broadcast", payload)
            return {} if self._acknowledge else None
        if event == "access_token":
            await self._authorized(socket.topic, payload.get("access_token"), socket)
            return None
        raise Refuse("unknown event")

    def _presence(self, payload: dict[str, Any], socket: Socket) -> dict[str, Any]:
        action = payload.get("event")
        try:
            if action == "track":
                self._track(_dict(payload.get("payload")), socket)
            elif action == "untrack":
                socket.untrack()
                self._meta = None
            else:
                raise Refuse("unknown presence event")
        except PresenceError as error:
            raise Refuse(str(error)) from None
        return {}

    def _track(self, meta: dict[str, Any], socket: Socket) -> None:
        text = json.dumps(meta, sort_keys=True)  # as for `==` true is 1
        if text == self._meta:
            return
        try:
            socket.update(self._key, meta)
        except NotTracked:
            socket.track(self._key, meta)
        self._meta = text

    async def _authorized(self, topic: str, token: Any, socket: Socket) -> None:
        result = self.authorize(topic, _text(token), socket)
        if result is not None:
            await result


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
