"""Serves the page of this folder and its channels beside a Presence, with aiohttp; serve.mjs is the same in Node.

    room:<name>   clients watch; one that says it is "here" is present, with a status that the server completes
    servers       one entry per server that has a page; members come and go as "members" events
"""

import pathlib
import platform
import time
import unicodedata

from aiohttp import web

from libpresence.phoenix import Channel, Endpoint, Refuse

HERE = pathlib.Path(__file__).resolve().parent
FILES = {
    "/": ("text/html", HERE / "index.html"),
    "/page.css": ("text/css", HERE / "page.css"),
    "/page.js": ("text/javascript", HERE / "page.js"),
    "/people.js": ("text/javascript", HERE / "people.js"),
    "/icon.svg": ("image/svg+xml", HERE / "icon.svg"),
    "/phoenix.mjs": ("text/javascript", HERE.parents[1] / "node/node_modules/phoenix/priv/static/phoenix.mjs"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws:; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
LANGUAGE = "Python " + ".".join(platform.python_version_tuple()[:2])


class Page:
    """The Presence is made after it, with handle_member=page.member_changed; kill(name) is what its button does."""

    def __init__(self, kill):
        self.kill, self.users, self.endpoint = kill, None, None

    async def start(self, users, port):
        """Returns the port: of a running server, or a free one for 0."""
        self.users, self.name = users, users.members()[0].name
        endpoint = Endpoint(users)
        endpoint.channel("room:*")(type("PageRoom", (Room,), {"page": self}))
        endpoint.channel("servers")(type("PageServers", (Servers,), {"page": self}))
        app = web.Application()
        app.router.add_get("/socket/websocket", endpoint.aiohttp_handler)
        for path in FILES:
            app.router.add_get(path, self.file)
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", port).start()
        port = self.runner.addresses[0][1]
        self.endpoint = endpoint
        self.owner = users.owner()
        self.owner.track("servers", self.name, {"language": LANGUAGE, "port": port})
        return port

    async def file(self, request):
        content_type, path = FILES[request.path]
        return web.Response(body=path.read_bytes(), content_type=content_type, charset="utf-8", headers=HEADERS)

    def members(self):
        return {"self": self.name, "members": [
            {"name": member.name, "status": member.status, "address": member.address} for member in self.users.members()]}

    def member_changed(self, member):
        if self.endpoint:
            self.endpoint.broadcast("servers", "members", self.members())

    async def close(self):
        endpoint, self.endpoint = self.endpoint, None
        await endpoint.close()
        await self.runner.cleanup()


def text(value, most, what):
    if not isinstance(value, str) or len(value) > most or any(unicodedata.category(char) in ("Cc", "Cs") for char in value):
        raise Refuse(f"{what} is a text of at most {most} characters")
    return value.strip()


def fields(value):
    return value if isinstance(value, dict) else {}


class Room(Channel):
    name = None

    def on_join(self, topic, params, socket):
        if here := fields(params).get("here"):  # also after a reconnect: the client says again who is here
            self.be_here(fields(here), socket)

    def on_event(self, event, payload, socket):
        if event == "here":
            self.be_here(fields(payload), socket)
        elif event == "gone":
            self.name = None
            socket.untrack()
        else:
            raise Refuse(f"unknown event {event}")
        return {}

    def be_here(self, me, socket):
        name = text(me.get("name"), 40, "a name")
        if not name or me.get("status") not in ("online", "away", "busy"):
            raise Refuse("say a name, and a status of online, away or busy")
        meta = {
            "status": me["status"], "typing": me.get("typing") is True,
            "note": text(me.get("note", ""), 140, "a note"), "device": text(me.get("device", ""), 40, "a device"),
            "member": self.page.name, "language": LANGUAGE,
        }
        if name != self.name:
            socket.untrack()
            self.name, self.since = name, int(time.time() * 1000)
            socket.track(name, {**meta, "since": self.since})
        else:
            socket.update(name, {**meta, "since": self.since})


class Servers(Channel):
    def on_join(self, topic, params, socket):
        return self.page.members()

    def on_event(self, event, payload, socket):
        others = [member["name"] for member in self.page.members()["members"] if member["name"] != self.page.name]
        if event != "kill" or fields(payload).get("member") not in others:
            raise Refuse("say kill and the name of another member")
        self.page.kill(payload["member"])
        return {}
