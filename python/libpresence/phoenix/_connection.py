"""One client's socket, whatever carries it: frames in, frames out, its channels, its limits.

Happy path: `run` reads frames one after another; a join makes a Session, other events go to theirs; frames out wait in
one queue that a task of its own writes. The end: the client closed, was idle, flooded, sent what is no message or too
large a frame, is too slow for broadcasts, or the endpoint closes. Then, in this order: all owners close, sessions are
cancelled, what waits is dropped, the close frame is written within `close_seconds`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from ._messages import BadMessage, Message, Serializer
from ._session import Session

if TYPE_CHECKING:
    from ._endpoint import Endpoint

logger = logging.getLogger("libpresence")


class TooLarge(Exception):
    """A frame is larger than limits.frame_bytes."""


def size_of(frame: str | bytes) -> int:
    """In bytes of UTF-8."""
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode())


class Transport(Protocol):
    """What an adapter gives: one WebSocket that is open."""

    async def receive(self) -> str | bytes | None:
        """The next frame; None: it is closed. TooLarge."""

    async def send(self, text: str) -> None:
        """Returns when more may be sent; an exception says that the client is gone."""

    async def close(self, code: int, reason: str) -> None: ...


class Connection:
    def __init__(
        self, endpoint: Endpoint, transport: Transport, serializer: Serializer, assigns: dict[str, Any]
    ) -> None:
        self.id = secrets.token_hex(8)
        self.endpoint = endpoint
        self.serializer = serializer
        self.assigns = assigns
        self._transport = transport
        self._sessions: dict[str, Session] = {}
        self._frames: deque[tuple[str, int, bool]] = deque()
        self._bytes = self._waited_bytes = 0
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[tuple[int, str]] = self._loop.create_future()
        self._heard = self._refilled = self._loop.time()
        self._allowed = float(endpoint.limits.events_burst)

    # ---- frames out ----

    def push(self, join_ref: str | None, ref: str | None, topic: str, event: str, payload: Any) -> None:
        self.send(self.serializer.encode(join_ref, ref, topic, event, payload))

    def send(self, frame: str, *, waited: bool = False) -> None:
        """Queues a frame; a client that lets more than send_bytes wait is closed. `waited`: its sender waits for room
        by itself, so a large state is no reason to close."""
        if self._end.done():
            return
        limit = self.endpoint.limits.send_bytes
        if not waited and self._bytes - self._waited_bytes > limit:
            self.close(1013, "too slow")
            return
        size = size_of(frame)
        self._frames.append((frame, size, waited))
        self._bytes += size
        self._waited_bytes += size * waited
        self._more.set()
        if self._bytes > limit // 4:
            self._room.clear()

    async def room(self) -> None:
        """Waits until little waits for this client."""
        while not self._room.is_set():
            await self._room.wait()

    async def _write(self) -> None:
        while True:
            while self._frames:
                frame, size, waited = self._frames.popleft()
                try:
                    await self._transport.send(frame)
                except Exception:
                    return self.close(0, "the client is gone")
                self._bytes -= size
                self._waited_bytes -= size * waited
                if self._bytes <= self.endpoint.limits.send_bytes // 8:
                    self._room.set()
            self._more.clear()
            await self._more.wait()

    # ---- frames in ----

    async def run(self) -> None:
        """Until the socket ends; the adapter's whole work. Never raises but for cancellation."""
        tasks = [self._loop.create_task(self._read()), self._loop.create_task(self._write())]
        for task in tasks:
            task.add_done_callback(self._task_done)
        self._idle = self._loop.call_later(self.endpoint.limits.idle_seconds, self._look_idle)
        try:
            self.endpoint.opened(self)
            code, reason = await asyncio.shield(self._end)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._say_goodbye(code, reason)
        finally:
            self.close(1012, "server stops")  # when this was cancelled
            self._idle.cancel()
            for task in tasks:
                task.cancel()
            self.endpoint.closed(self)

    async def _say_goodbye(self, code: int, reason: str) -> None:
        if code == 0:  # the client closed
            return
        try:
            await asyncio.wait_for(self._transport.close(code, reason), self.endpoint.limits.close_seconds)
        except Exception:
            pass  # it is gone, or takes nothing: the adapter drops it

    def close(self, code: int, reason: str) -> None:
        """Ends it soon; the first reason counts. code 0: the client is gone already."""
        if self._end.done():
            return
        if code not in (0, 1000, 1001, 1012):
            self.endpoint.log_close(reason)
        self._end.set_result((code, reason))
        self._end_sessions()
        self._room.set()

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.close(0, "the client closed")
        elif isinstance(error, TooLarge):
            self.close(1009, "frame too large")
        elif isinstance(error, BadMessage):
            self.close(1007, str(error)[:100])
        else:
            self.close(1011, f"{type(error).__name__}")

    def _look_idle(self) -> None:
        limit = self.endpoint.limits.idle_seconds
        left = self._heard + limit - self._loop.time()
        if left <= 0:
            self.close(1001, "idle")  # not 1000, after which older clients do not come back
        else:
            self._idle = self._loop.call_later(left, self._look_idle)

    async def _read(self) -> None:
        while (frame := await self._transport.receive()) is not None:
            self._heard = self._loop.time()
            if not self._allows():
                self.close(1008, "too many events")
                return
            await self._take(self.serializer.decode(frame))

    def _allows(self) -> bool:
        limits = self.endpoint.limits
        earned = (self._heard - self._refilled) * limits.events_per_second
        self._allowed = min(float(limits.events_burst), self._allowed + earned) - 1
        self._refilled = self._heard
        return self._allowed >= 0

    async def _take(self, message: Message) -> None:
        session = self._sessions.get(message.topic)
        if message.topic == "phoenix":
            self._phoenix(message)
        elif message.event == "phx_join":
            self._joins(message, session)
        elif session is not None:
            await session.deliver(message)
        else:
            self.unheard(message)
        await self.room()

    def unheard(self, message: Message) -> None:
        """Answers what is for a channel that is over or never was."""
        if message.event == "phx_leave":  # left already
            self._reply(message, message.join_ref, "ok", {})
        else:
            self._reply(message, None, "error", {"reason": "unmatched topic"})

    def _phoenix(self, message: Message) -> None:
        if message.event == "heartbeat":
            self._reply(message, None, "ok", {})
        else:
            self._reply(message, None, "error", {"reason": "unmatched topic"})

    def _joins(self, message: Message, session: Session | None) -> None:
        channel = self.endpoint.patterns.find(message.topic)
        if channel is None:
            self._reply(message, None, "error", {"reason": "unmatched topic"})
        elif session is None and len(self._sessions) >= self.endpoint.limits.joins:
            self._reply(message, message.join_ref, "error", {"reason": "too many channels joined"})
        else:
            if session is not None:
                session.replaced()
            self._sessions[message.topic] = Session(self, channel, message)

    def _reply(self, message: Message, join_ref: str | None, status: str, response: Any) -> None:
        self.push(join_ref, message.ref, message.topic, "phx_reply", {"status": status, "response": response})

    # ---- channels ----

    def forget(self, session: Session) -> None:
        if self._sessions.get(session.topic) is session:
            del self._sessions[session.topic]

    def _end_sessions(self) -> None:
        for session in list(self._sessions.values()):
            session.end("closed")
