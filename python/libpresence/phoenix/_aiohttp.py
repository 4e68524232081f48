"""The aiohttp side: a handler of a GET route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from ._channel import Refuse
from ._connection import TooLarge
from ._handshake import SUBPROTOCOL, handshake

if TYPE_CHECKING:
    from ._endpoint import Endpoint


async def serve(endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
    headers = {name.lower(): value for name, value in request.headers.items()}
    subprotocols = [part.strip() for part in headers.get("sec-websocket-protocol", "").split(",") if part.strip()]
    shake = handshake(request.rel_url.raw_query_string, headers, subprotocols)
    try:
        assigns = await endpoint.admit(shake)
    except Refuse as refusal:
        return web.json_response(refusal.response, status=403)
    protocols = (SUBPROTOCOL,) if shake.subprotocol else ()
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=endpoint.limits.frame_bytes)
    try:
        await socket.prepare(request)
    except ConnectionResetError:  # it did not wait to be let in
        return web.Response(status=400)
    await endpoint.serve(shake, _Transport(socket), assigns)
    return socket


class _Transport:
    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes | None:
        message: Any = await self._socket.receive()
        if message.type == WSMsgType.TEXT:
            return str(message.data)
        if message.type == WSMsgType.BINARY:
            return bytes(message.data)
        if message.type == WSMsgType.ERROR and self._socket.close_code == 1009:
            raise TooLarge
        return None

    async def send(self, text: str) -> None:
        await self._socket.send_str(text)

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code=code, message=reason.encode()[:120])
