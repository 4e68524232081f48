"""One joined channel of one connection.

Happy path: on_join -> reply ok -> presence_state, then every presence_diff -> events of the client, one at a time, each
with its reply -> phx_leave: reply ok, phx_close.
Failures: on_join refuses (error reply, nothing else) or throws (reply "join crashed"); on_event throws (phx_error, the
client joins again); the topic is joined once more (phx_close with the old join_ref); the connection or the endpoint
ends (nobody is told). However it ends, its owner closes at once, before anything is awaited.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from .._errors import InvalidTopic, PresenceError
from .._hooks import Hook, call_hook
from ._channel import Channel, Refuse
from ._messages import Message, Raw, to_json
from ._socket import Socket

if TYPE_CHECKING:
    from .._types import Event
    from ._connection import Connection

logger = logging.getLogger("libpresence")


class Session:
    def __init__(self, connection: Connection, channel: type[Channel], join: Message) -> None:
        self.connection = connection
        self.endpoint = connection.endpoint
        self.topic = join.topic
        self.join_ref = join.join_ref
        self.over = False
        self.joined = False
        self._join = join
        self._channel = channel
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(self.endpoint.limits.pending_events)
        self._pump_task: asyncio.Task[None] | None = None
        self.socket = Socket(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def deliver(self, message: Message) -> None:
        """Waits while too many events wait, so that the client is not read any further."""
        if self.over or message.join_ref not in (None, self.join_ref):
            return  # of an earlier join of this client
        await self._waiting.put(message)
        if self.over:
            self._let_go()

    def push(self, event: str, payload: Any) -> None:
        if not self.over:
            self.connection.push(self.join_ref, None, self.topic, event, payload)

    # ---- its life ----

    async def _run(self) -> None:
        try:
            if await self._joins():
                if self._instance.presence:
                    self._pump_task = asyncio.get_running_loop().create_task(self._pump())
                while await self._handle(await self._waiting.get()):
                    pass
        except Exception as error:
            self._crashed(error)

    async def _joins(self) -> bool:
        message = self._join
        try:
            self._instance = self._channel()
            if self._instance.presence:
                self._check_topic()
            answer = await self._call(self._instance.on_join, self.topic, message.payload, self.socket)
            response = {} if answer is None else answer
            to_json(response)  # whether it can be sent
        except Refuse as refusal:
            self._reply(message, "error", refusal.response)
        except Exception as error:
            logger.error("channel %r: on_join failed", self.topic, exc_info=error)
            self._reply(message, "error", {"reason": "join crashed"})
        else:
            if self.over:
                return False
            self.joined = True
            self.endpoint.joined(self)
            self._reply(message, "ok", response)
            return True
        self.end("refused")
        return False

    async def _call(self, hook: Hook, *args: Any) -> Any:
        """A hook that awaits what somebody cancelled has failed; else this task would end, and nobody be told."""
        try:
            return await call_hook(hook, *args)
        except asyncio.CancelledError as error:
            if self.over:  # `end` cancels this task
                raise
            raise RuntimeError("a handler awaited what was cancelled") from error

    def _check_topic(self) -> None:
        """Of one that cannot have presences nothing could be shown after the join."""
        try:
            self.endpoint.users.count(self.topic)
        except InvalidTopic:
            raise Refuse("invalid topic") from None

    async def _handle(self, message: Message) -> bool:
        """False: the channel is over."""
        if message.event == "phx_leave":
            self._reply(message, "ok", {})
            self.connection.push(self.join_ref, self.join_ref, self.topic, "phx_close", {})
            self.end("left")
            return False
        try:
            response = await self._call(self._instance.on_event, message.event, message.payload, self.socket)
        except Refuse as refusal:
            self._reply(message, "error", refusal.response)
        else:
            if response is not None:
                self._reply(message, "ok", response)
        await self.connection.room()
        return not self.over  # on_event may have ended its own socket, by what it sent

    def _reply(self, message: Message, status: str, response: Any) -> None:
        payload = {"status": status, "response": response}
        self.connection.push(self.join_ref, message.ref, self.topic, "phx_reply", payload)

    def _crashed(self, error: Exception) -> None:
        if self.over:
            return
        logger.error("channel %r: on_event failed, its client joins again", self.topic, exc_info=error)
        reason = {"reason": "channel_crash"}
        self.connection.push(self.join_ref, self.join_ref, self.topic, "phx_error", reason)
        self.end("error")

    async def _pump(self) -> None:
        """The state of the topic, then its diffs, as fast as this client takes them."""
        try:
            async with self.endpoint.users.subscribe(self.topic) as events:
                async for event in events:
                    await self.connection.room()
                    self._push_presence(event)
        except PresenceError as error:
            logger.error("channel %r: presence ended", self.topic, exc_info=error)
        if not self.over:  # the tracker has stopped: this server knows nothing any more
            self.connection.push(self.join_ref, self.join_ref, self.topic, "phx_error", {"reason": "stopped"})
            self.end("shutdown")

    def _push_presence(self, event: Event) -> None:
        if event.event == "presence_state":
            encode = self.connection.serializer.encode
            self.connection.send(encode(self.join_ref, None, self.topic, event.event, Raw(event.text)), waited=True)
        else:
            frame = self.endpoint.diff_frame(self.topic, event, self.connection.serializer)
            self.connection.send(frame, waited=True)

    # ---- its end ----

    def replaced(self) -> None:
        """The client joins the same topic again."""
        if self.joined:
            self.connection.push(self.join_ref, self.join_ref, self.topic, "phx_close", {})
        self.end("replaced")

    def end(self, reason: str) -> None:
        if self.over:
            return
        self.over = True
        try:
            self.socket.end()
        except PresenceError:  # the tracker has stopped: everything has left already
            pass
        self.connection.forget(self)
        self._let_go()
        if self.joined:
            self.endpoint.left(self)
            self.endpoint.run_aside(self._told(reason))
        here = asyncio.current_task()
        for task in (self._task, self._pump_task):
            if task is not None and task is not here:
                task.cancel()

    def _let_go(self) -> None:
        """Nobody handles what waits, and who waits in `deliver`, any more."""
        while not self._waiting.empty():
            self.connection.unheard(self._waiting.get_nowait())

    async def _told(self, reason: str) -> None:
        try:
            await call_hook(self._instance.on_leave, reason, self.socket)
        except Exception as error:
            logger.error("channel %r: on_leave failed", self.topic, exc_info=error)
