"""Who is in a room, with FastAPI: plain WebSockets, HTTP, and browsers with the official `phoenix` client.

    pip install libpresence fastapi uvicorn websockets
    LIBPRESENCE_LISTEN=127.0.0.1:7946 uvicorn app:app --port 8000
    LIBPRESENCE_JOIN=127.0.0.1:7946   uvicorn app:app --port 8001        # a second server: the same rooms
"""

import asyncio
import contextlib

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from libpresence import Presence, PresenceError
from libpresence.phoenix import Channel, Endpoint, Refuse

users = Presence(env=True)  # options from LIBPRESENCE_<OPTION>
endpoint = Endpoint(users)
app = FastAPI(lifespan=endpoint.lifespan)  # starts users with the server and stops them with it


@app.get("/rooms/{room}")
async def who_is_there(room: str):
    return await users.list(f"room:{room}")


# ---- a WebSocket of our own ----


@app.websocket("/rooms/{room}/{name}")
async def be_there(socket: WebSocket, room: str, name: str):
    """Says its status as JSON, gets presence_state and every presence_diff of the room."""
    await socket.accept()
    async with users.track_as(f"room:{room}", name, {"status": "online"}) as entry:  # leaves however this ends
        telling = asyncio.create_task(tell(socket, room))
        try:
            # Somebody must receive, even if clients have nothing to say: only that notices a client that has vanished.
            # (One whose machine went dark is noticed by the pings of uvicorn, --ws-ping-timeout.)
            while True:
                entry.update(await socket.receive_json())
        except WebSocketDisconnect:
            pass
        except (ValueError, KeyError, PresenceError) as error:  # no JSON, a binary frame, no JSON object
            await socket.close(1008, f"not a status: {error}"[:100])
        finally:
            telling.cancel()


async def tell(socket: WebSocket, room: str):
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # gone while we were sending: the receiver knows as well
        async with users.subscribe(f"room:{room}") as events:
            async for event in events:
                await socket.send_text(f'{{"event":"{event.event}","payload":{event.text}}}')


# ---- the official client: new Socket("/socket"), socket.channel("room:lobby", {name: "ada"}), new Presence(channel) ----


@endpoint.channel("room:*")
class Room(Channel):
    async def on_join(self, topic, params, socket):
        if not params.get("name"):
            raise Refuse("who are you?")
        self.name = params["name"]
        socket.track(self.name, {"status": "online"})

    async def on_event(self, event, payload, socket):
        if event != "status":
            raise Refuse(f"unknown event {event}")
        socket.update(self.name, payload)
        return {}


app.mount("/socket", endpoint)
