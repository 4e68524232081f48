"""A Python server of Phoenix clients for the tests, in any of the adapters.

    server.py '{"adapter": "uvicorn" | "starlette" | "fastapi" | "aiohttp", "presence": {…}, "limits": {…}, "fetch": false}'

Prints one JSON line when it listens, answers one JSON line per line of its stdin, and ends with it.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import threading

from libpresence import Presence
from libpresence.phoenix import Channel, Endpoint, Limits, Refuse, SupabaseChannel

OPTIONS = json.loads(sys.argv[1])
OWNERS = []  # one, of what is tracked by request


class Users(Presence):
    calls = []  # what fetch was asked for: [topic, keys]


class FetchingUsers(Users):
    async def fetch(self, topic, presences):
        self.calls.append([topic, sorted(presences)])
        if "hang" in topic:
            await asyncio.Event().wait()
        return {key: {**entry, "name": key.upper()} for key, entry in presences.items()}


def connect(params, headers):
    if params.get("token") == "wrong":
        raise Refuse("wrong token")
    return {"user": params.get("user"), "token": params.get("auth_token")}


users = (FetchingUsers if OPTIONS.get("fetch") else Users)(**OPTIONS.get("presence", {}))
endpoint = Endpoint(users, connect, limits=Limits(**OPTIONS.get("limits", {})))


@endpoint.channel("room:*")
class Room(Channel):
    async def on_join(self, topic, params, socket):
        if params.get("refuse"):
            raise Refuse("not you")
        if params.get("fail"):
            raise ValueError("a bug")
        if "user" in params:
            socket.track(params["user"], params.get("meta"))
        return {"server": "python", **socket.assigns}

    async def on_event(self, event, payload, socket):
        if event == "track":
            return {"ref": socket.track(payload["user"], payload.get("meta"))}
        if event == "update":
            return {"ref": socket.update(payload["user"], payload.get("meta"))}
        if event == "untrack":
            return {"left": socket.untrack(payload["user"])}
        if event == "shout":
            socket.broadcast("shout", payload)
            return None
        if event == "crash":
            raise ValueError("a bug")
        raise Refuse("unmatched event")


@endpoint.channel("own:*")
class Own(Channel):
    """Pushes presence under names of its own."""

    presence = False

    async def on_join(self, topic, params, socket):
        self.task = asyncio.ensure_future(self.push(topic, socket))

    async def push(self, topic, socket):
        async with users.subscribe(topic) as events:
            async for event in events:
                socket.push(event.event.replace("presence", "people"), event.payload)

    async def on_event(self, event, payload, socket):
        return {"ref": socket.track(payload["user"], payload.get("meta"))}

    async def on_leave(self, reason, socket):
        self.task.cancel()


@endpoint.channel("realtime:*")
class Realtime(SupabaseChannel):
    tokens = []

    def authorize(self, topic, token, socket):
        self.tokens.append(token)
        if token == "wrong":
            raise Refuse("wrong token")


async def answer(request):
    do, topic = request["do"], request.get("topic")
    if not OWNERS:
        OWNERS.append(users.owner())
    if do == "list":
        return await users.list(topic)
    if do == "track":
        return users.track(OWNERS[0], topic, request["user"], request.get("meta"))
    if do == "renew":
        OWNERS[0].untrack()
        users.track_many(OWNERS[0], [(topic, f"{request['prefix']}{i}", {"text": text}) for i, text in enumerate(texts(request))])
        return None
    if do == "fetches":
        return users.calls
    if do == "resyncs":
        return users.stats().resyncs
    if do == "members":
        return [[member.name, member.status] for member in users.members()]
    if do == "sockets":
        return endpoint.sockets
    if do == "tokens":
        return Realtime.tokens
    if do == "broadcast":
        return endpoint.broadcast(topic, request["event"], request["payload"])
    raise ValueError(do)


def texts(request):
    """Some that no compression makes small."""
    return [os.urandom(request["size"]).hex() for _ in range(request["count"])]


def listen(stop):
    """Reads stdin beside the loop."""
    loop = asyncio.get_running_loop()

    def read():
        for line in sys.stdin:
            result = asyncio.run_coroutine_threadsafe(answer(json.loads(line)), loop).result()
            print(json.dumps(result), flush=True)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop)

    threading.Thread(target=read, daemon=True).start()


def application():
    if OPTIONS["adapter"] == "uvicorn":
        return endpoint
    if OPTIONS["adapter"] == "starlette":
        from starlette.applications import Starlette as App
    else:
        from fastapi import FastAPI as App
    app = App(lifespan=endpoint.lifespan)
    app.mount("/socket", endpoint)
    return app


def say_hello(port):
    print(json.dumps({"port": port, "address": users.address}), flush=True)


async def serve_asgi(bound):
    import uvicorn

    deflate = OPTIONS.get("deflate", True)
    config = uvicorn.Config(application(), log_level="warning", ws_per_message_deflate=deflate, timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)

    async def greet():
        while not server.started:
            await asyncio.sleep(0.01)
        say_hello(bound.getsockname()[1])

    def stop():
        server.should_exit = True

    listen(stop)
    greeting = asyncio.ensure_future(greet())
    await server.serve(sockets=[bound])
    greeting.cancel()


async def serve_aiohttp(bound):
    from aiohttp import web

    async def presence(app):
        async with endpoint.lifespan():
            yield

    app = web.Application()
    app.router.add_get("/socket/websocket", endpoint.aiohttp_handler)
    app.cleanup_ctx.append(presence)
    app.on_shutdown.append(lambda app: endpoint.close())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, bound).start()
    stopped = asyncio.Event()
    listen(stopped.set)
    say_hello(bound.getsockname()[1])
    await stopped.wait()
    await runner.cleanup()


async def main():
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", OPTIONS.get("port", 0)))
        bound.listen(4096)
        await (serve_aiohttp if OPTIONS["adapter"] == "aiohttp" else serve_asgi)(bound)


logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
asyncio.run(main())
