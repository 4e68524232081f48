"""The adapter for aiohttp over a real socket: clients that do not wait until they are let in."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from observing import LOCAL, until

from libpresence import Presence
from libpresence.phoenix import Endpoint

UPGRADE = (
    "GET /websocket?vsn=2.0.0 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def test_a_client_that_leaves_before_it_is_let_in_is_no_error(run_once: Any, caplog: Any) -> None:
    async def main() -> None:
        let_in = asyncio.Event()
        requests: list[web.Request] = []
        answers: list[web.StreamResponse] = []

        async def connect(params: Any, headers: Any) -> None:
            await let_in.wait()

        async with Presence(**LOCAL) as users:
            endpoint = Endpoint(users, connect)

            async def handler(request: web.Request) -> web.StreamResponse:
                requests.append(request)
                answers.append(await endpoint.aiohttp_handler(request))
                return answers[-1]

            app = web.Application()
            app.router.add_get("/websocket", handler)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            _, writer = await asyncio.open_connection(*runner.addresses[0][:2])
            writer.write(UPGRADE.encode())
            await until(lambda: requests)
            writer.transport.abort()
            await until(lambda: requests[0].transport is None)
            let_in.set()
            await until(lambda: answers)
            assert endpoint.sockets == 0
            await endpoint.close()
            await runner.cleanup()
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    run_once(main())
