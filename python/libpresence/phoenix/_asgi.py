"""The ASGI side: a mounted application, or the whole one under uvicorn and its kin."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ._channel import Refuse
from ._connection import TooLarge, size_of
from ._handshake import handshake

if TYPE_CHECKING:
    from ._endpoint import Endpoint

logger = logging.getLogger("libpresence")


async def asgi(endpoint: Endpoint, scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await _websocket(endpoint, scope, receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(endpoint, receive, send)
    else:
        await _http(scope, send)


async def _lifespan(endpoint: Endpoint, receive: Any, send: Any) -> None:
    """Only when this is the whole application: it starts the Presence unless it runs, and stops what it started."""
    await receive()
    try:
        async with endpoint.lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.shutdown.complete"})


async def _http(scope: Any, send: Any) -> None:
    """Only WebSockets are served here; a client that asks for long polling tries again over WebSocket."""
    status = 426 if scope["path"].endswith("/websocket") else 404
    headers = [(b"content-type", b"text/plain"), (b"upgrade", b"websocket")]
    await send({"type": "http.response.start", "status": status, "headers": headers[: 2 if status == 426 else 1]})
    await send({"type": "http.response.body", "body": b"a WebSocket at .../websocket\n"})


async def _websocket(endpoint: Endpoint, scope: Any, receive: Any, send: Any) -> None:
    await receive()  # websocket.connect
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    shake = handshake(scope["query_string"].decode("latin-1"), headers, list(scope.get("subprotocols") or ()))
    try:
        if not scope["path"].endswith("/websocket"):
            raise Refuse("a WebSocket is served at .../websocket")
        assigns = await endpoint.admit(shake)
    except Refuse as refusal:
        logger.info("a client may not connect: %s", refusal.response)
        await send({"type": "websocket.close", "code": 1008, "reason": str(refusal.response.get("reason", ""))[:100]})
        return
    except Exception as error:
        logger.error("connect failed", exc_info=error)
        await send({"type": "websocket.close", "code": 1011, "reason": "connect failed"})
        return
    await send({"type": "websocket.accept", "subprotocol": shake.subprotocol})
    await endpoint.serve(shake, _Transport(endpoint, receive, send), assigns)


class _Transport:
    def __init__(self, endpoint: Endpoint, receive: Any, send: Any) -> None:
        self._most = endpoint.limits.frame_bytes
        self._receive = receive
        self._send = send

    async def receive(self) -> str | bytes | None:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        frame: str | bytes = message["bytes"] if text is None else text
        if size_of(frame) > self._most:
            raise TooLarge
        return frame

    async def send(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
