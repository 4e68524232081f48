"""driver.py: a member of a test cluster driven by JSON lines, as driver.c and driver.mjs."""

import asyncio
import json
import sys

from libpresence import Presence, PresenceError


class Driver:
    def __init__(self):
        self.users, self.owners, self.events, self.tasks = None, {}, [], []

    async def open(self, options):
        options = {name: value.split(",") if name == "join" else value for name, value in options.items()}
        self.users = Presence(**options)
        await self.users.start()
        return self.users.address

    async def owner(self, lease=None):
        owner = self.users.owner(lease=lease / 1000) if lease else self.users.owner()
        self.owners[len(self.owners) + 1] = owner
        return len(self.owners)

    async def close_owner(self, owner):
        self.owners[owner].close()

    async def track(self, owner, topic, key, meta):
        return self.users.track(self.owners[owner], topic, key, json.loads(meta))

    async def update(self, owner, topic, key, meta, if_ref=None):
        return self.users.update(self.owners[owner], topic, key, json.loads(meta), if_ref=if_ref)

    async def untrack(self, owner, topic=None, key=None):
        return self.users.untrack(self.owners[owner]) if topic is None else self.users.untrack(self.owners[owner], topic, key)

    async def list(self, topic):
        return await self.users.list(topic)

    async def get(self, topic, key):
        return await self.users.get_by_key(topic, key)

    async def saved(self):
        return self.users.stats()["bytes_saved"]

    async def count(self, topic):
        return [self.users.count(topic), self.users.count(topic, metas=True)]

    async def subscribe(self, topic):
        started = asyncio.Event()
        self.tasks.append(asyncio.create_task(self.collect(topic, started)))
        await started.wait()

    async def collect(self, topic, started):
        async with self.users.subscribe(topic) as events:
            async for event in events:
                self.events.append({"topic": event.topic, "event": event.event, "payload": event.payload, "resync": event.resync,
                                    "changes": [self.change(change) for change in event.changes]})
                started.set()

    @staticmethod
    def change(change):
        fields = ("kind", "key", "meta", "prev_meta", "ref", "prev_ref", "member", "reason", "first", "last")
        return {name: getattr(change, name) for name in fields}

    async def take_events(self):
        events, self.events = self.events, []
        return events

    async def members(self):
        return [{"name": m.name, "status": m.status, "synced": m.synced, "is_self": m.is_self, "entries": m.entries}
                for m in self.users.members()]

    async def synced(self, timeout):
        return await self.users.synced(timeout=timeout / 1000)

    async def stop(self):
        await self.users.stop()

    async def answer(self, request):
        method = {"events": self.take_events}.get(request["do"]) or getattr(self, request["do"])
        try:
            return {"ok": await method(**{name: value for name, value in request.items() if name != "do"})}
        except PresenceError as error:
            return {"error": error.name}


async def main():
    driver, reader = Driver(), asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(await driver.answer(json.loads(line))), flush=True)
    for task in driver.tasks:
        task.cancel()
    if driver.users:
        await driver.users.stop()


asyncio.run(main())
