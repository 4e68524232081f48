"""roster.py: a line-based presence server; roster.c and roster.mjs are the same in C and Node.

    roster.py PORT [OPTION=VALUE …]        e.g. roster.py 7002 name=python join=127.0.0.1:7946
    page=PORT                              also serves the page of page/; its button prints "kill NAME" for who started us

A connection says, one line each:
    join ROOM NAME [JSON]   be in a room; first its state comes back, then every change, as JSON lines
    update JSON             change what the others see
    leave                   leave the room
    list ROOM | members     ask this member what it sees
A connection owns what it joined: however it ends, its presence leaves, on every member of the cluster.
"""

import asyncio
import contextlib
import json
import signal
import sys

from libpresence import Presence, PresenceError


class Connection:
    def __init__(self, users, writer):
        self.users, self.writer = users, writer
        self.owner = users.owner()
        self.room = self.name = self.forwarder = None

    def say(self, **event):
        self.writer.write((json.dumps(event, ensure_ascii=False) + "\n").encode())

    async def join(self, room, name, meta="{}"):
        await self.leave()
        self.users.track(self.owner, room, name, json.loads(meta))
        self.room, self.name = room, name
        self.forwarder = asyncio.create_task(self.forward(room))

    async def forward(self, room):
        with contextlib.suppress(ConnectionError):
            async with self.users.subscribe(room) as events:
                async for event in events:
                    line = f'{{"topic":{json.dumps(room)},"event":"{event.event}","payload":{event.text}}}\n'
                    self.writer.write(line.encode())
                    await self.writer.drain()

    async def update(self, meta):
        self.users.update(self.owner, self.room or "none", self.name or "none", json.loads(meta))

    async def leave(self):
        if self.room is not None:
            self.forwarder.cancel()
            self.users.untrack(self.owner, self.room, self.name)
            self.room = None

    async def list(self, room):
        payload = await self.users.list(room)
        self.say(event="list", keys=self.users.count(room), metas=self.users.count(room, metas=True), payload=payload)

    async def members(self):
        self.say(event="members", payload={member.name: member.status for member in self.users.members()})

    async def run_line(self, line):
        command, _, rest = line.partition(" ")
        commands = {"join": (self.join, 2, 3), "update": (self.update, 1, 1), "leave": (self.leave, 0, 0),
                    "list": (self.list, 1, 1), "members": (self.members, 0, 0)}
        method, least, most = commands.get(command, (None, 0, 0))
        words = rest.split(" ", most - 1) if rest and most else []
        if method is None or len(words) < least:
            self.error("say join ROOM NAME [JSON], update JSON, leave, list ROOM or members")
            return
        try:
            await method(*words)
        except (PresenceError, ValueError) as error:
            self.error(str(error))

    def error(self, reason):
        self.say(event="error", payload={"reason": reason})

    async def run(self, reader):
        try:
            while line := await reader.readline():
                await self.run_line(line.decode().rstrip("\r\n"))
        except (ConnectionError, ValueError):
            pass  # a reset, a line too long, or no UTF-8: the end like any other
        finally:
            if self.forwarder:
                self.forwarder.cancel()
            self.owner.close()  # whatever it owned leaves
            self.writer.close()


def option(text):
    name, _, value = text.partition("=")
    return name, value.split(",") if name == "join" else value


@contextlib.asynccontextmanager
async def member(page=None, **options):
    """The Presence, and the port of the page, if it is asked for, in a list."""
    if page is None:
        async with Presence(**options) as users:
            yield users, []
        return
    from page.serve import Page  # needs aiohttp

    pages = Page(kill=lambda name: print("kill", name, flush=True))
    async with Presence(handle_member=pages.member_changed, **options) as users:
        port = await pages.start(users, int(page))
        try:
            yield users, [port]
        finally:
            await pages.close()


async def main(port, *settings):
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with member(**dict(map(option, settings))) as (users, page):
        async def serve(reader, writer):
            await Connection(users, writer).run(reader)

        server = await asyncio.start_server(serve, "127.0.0.1", int(port), limit=16384)
        print("ready", server.sockets[0].getsockname()[1], users.address, *page, flush=True)
        await ended.wait()
        server.close()


if __name__ == "__main__":
    if len(sys.argv) < 2 or not sys.argv[1].isdigit():
        sys.exit("usage: roster.py PORT [OPTION=VALUE …]")
    asyncio.run(main(*sys.argv[1:]))
