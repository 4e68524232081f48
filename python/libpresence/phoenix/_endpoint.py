"""The Endpoint: which channels there are, who may connect, which sockets are open; adapters for ASGI and aiohttp."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from .._errors import InvalidArgument, PresenceTimeout
from .._hooks import call_hook
from .._presence import Presence
from ._asgi import asgi
from ._channel import Channel, Refuse
from ._connection import Connection, Transport
from ._handshake import Handshake, allowed_origin
from ._limits import Limits
from ._messages import Raw, Serializer
from ._patterns import Patterns

if TYPE_CHECKING:
    from .._types import Event
    from ._session import Session
    from ._socket import Socket

logger = logging.getLogger("libpresence")

Connect = Callable[[dict[str, str], Mapping[str, str]], Any]
C = TypeVar("C", bound=type[Channel])


class Endpoint:
    """Serves Phoenix clients beside one Presence, on its loop.

    `connect(params, headers)`, asynchronous or not, gives the assigns of the socket (a dict or None) or raises Refuse;
    the token of the client's `authToken` is params["auth_token"]. `check_origin`: True takes pages of this host only
    (localhost in all its spellings is one host), a list takes these hosts or origins, False takes all.
    """

    def __init__(
        self,
        users: Presence,
        connect: Connect | None = None,
        *,
        limits: Limits | None = None,
        check_origin: bool | list[str] = True,
    ) -> None:
        if not isinstance(users, Presence):
            raise InvalidArgument(f"an Endpoint needs a Presence, not {type(users).__name__}")
        self.users = users
        self.limits = limits or Limits()
        self.patterns = Patterns()
        self._connect = connect
        self._check_origin = check_origin
        self._connections: set[Connection] = set()
        self._all_gone = asyncio.Event()
        self._all_gone.set()
        self._sessions: dict[str, set[Session]] = {}
        self._last_frames: dict[str, tuple[Event, dict[Serializer, str]]] = {}
        self._aside: set[asyncio.Task[None]] = set()
        self._closing = False
        self._logged: dict[str, float] = {}

    # ---- what an application calls ----

    def channel(self, pattern: str) -> Callable[[C], C]:
        """Class decorator: this Channel serves the topic, or with a final "*" all topics that begin so."""

        def register(channel: C) -> C:
            if not (isinstance(channel, type) and issubclass(channel, Channel)):
                raise InvalidArgument("a channel is a subclass of Channel")
            self.patterns.add(pattern, channel)
            return channel

        return register

    def broadcast(self, topic: str, event: str, payload: Any, *, but: Socket | None = None) -> None:
        """To every client in the topic on this server; encoded once. Other servers' clients do not get it."""
        frames: dict[Serializer, str] = {}
        for session in list(self._sessions.get(topic, ())):
            if session.socket is not but:
                session.connection.send(_frame(frames, session.connection.serializer, topic, event, payload))

    @property
    def sockets(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def close(self) -> None:
        """Closes all sockets and takes no new ones; returns when they are gone."""
        self._closing = True
        for connection in list(self._connections):
            connection.close(1012, "server stops")
        await self._all_gone.wait()
        if self._aside:
            _, late = await asyncio.wait(self._aside, timeout=self.limits.close_seconds)
            for task in late:
                logger.warning("an on_leave did not end and is cancelled")
                task.cancel()

    @asynccontextmanager
    async def lifespan(self, _app: Any = None) -> AsyncIterator[None]:
        """For FastAPI(lifespan=endpoint.lifespan): starts the Presence unless it runs, closes sockets and stops it."""
        ours = not self.users._started()
        if ours:
            await self.users.start()
        try:
            yield
        finally:
            await self.close()
            if ours:
                await self.users.stop()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application: mount it, or run it as it is."""
        await asgi(self, scope, receive, send)

    async def aiohttp_handler(self, request: Any) -> Any:
        """For aiohttp: app.router.add_get("/socket/websocket", endpoint.aiohttp_handler)."""
        from ._aiohttp import serve

        return await serve(self, request)

    # ---- what adapters call ----

    async def admit(self, handshake: Handshake) -> dict[str, Any]:
        """The assigns of a socket that may connect, else Refuse."""
        if self._closing:
            raise Refuse("server stops")
        if handshake.serializer is None:
            raise Refuse("unknown vsn")
        if not allowed_origin(handshake.headers, self._check_origin):
            raise Refuse("origin not allowed")
        await self._complete()
        if self._connect is None:
            return {}
        work = call_hook(self._connect, dict(handshake.params), handshake.headers)
        try:
            assigns = await asyncio.wait_for(work, self.limits.connect_seconds)
        except asyncio.TimeoutError:
            self.log_close("connect took too long")
            raise Refuse("connect took too long") from None
        if assigns is None:
            return {}
        if not isinstance(assigns, Mapping):
            raise TypeError(f"connect must return a dict, not {type(assigns).__name__}")
        return dict(assigns)

    async def _complete(self) -> None:
        """Waits for the first sync: a client that comes back to a server that has just started would take those it
        does not know yet for gone."""
        if not self.users.is_synced:
            try:
                await self.users.synced(self.limits.connect_seconds)
            except PresenceTimeout:
                pass  # rather late news than none

    async def serve(self, handshake: Handshake, transport: Transport, assigns: dict[str, Any]) -> None:
        """Runs an accepted socket to its end."""
        assert handshake.serializer is not None
        await Connection(self, transport, handshake.serializer, assigns).run()

    # ---- what connections and sessions call ----

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._all_gone.clear()
        if self._closing:
            connection.close(1012, "server stops")

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_gone.set()

    def joined(self, session: Session) -> None:
        self._sessions.setdefault(session.topic, set()).add(session)

    def left(self, session: Session) -> None:
        sessions = self._sessions.get(session.topic)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._sessions[session.topic]
                self._last_frames.pop(session.topic, None)

    def diff_frame(self, topic: str, event: Event, serializer: Serializer) -> str:
        """The frame of a presence_diff, made once for all sockets that are up to date."""
        last = self._last_frames.get(topic)
        if last is None or last[0] is not event:
            last = self._last_frames[topic] = (event, {})
        return _frame(last[1], serializer, topic, event.event, Raw(event.text))

    def run_aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    def log_close(self, reason: str) -> None:
        """At most one line a second for each reason; those are few, and none is of the client's making."""
        now = time.monotonic()
        if now - self._logged.get(reason, -1e9) >= 1:
            self._logged[reason] = now
            logger.warning("a client's socket was closed: %s", reason)


def _frame(frames: dict[Serializer, str], serializer: Serializer, topic: str, event: str, payload: Any) -> str:
    frame = frames.get(serializer)
    if frame is None:
        frame = frames[serializer] = serializer.encode(None, None, topic, event, payload)
    return frame
