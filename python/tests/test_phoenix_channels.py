"""Phoenix Channels over a transport of the test's own: the protocol, both versions, every refusal and every end."""

from __future__ import annotations

import asyncio
import json
import socket as socket_module
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from observing import DEADLINE, LOCAL, until

from libpresence import Presence
from libpresence.phoenix import Channel, Endpoint, Limits, Refuse, Socket, SupabaseChannel
from libpresence.phoenix._handshake import allowed_origin, handshake


class Wire:
    """A WebSocket without a network."""

    def __init__(self, endpoint: Endpoint, vsn: str = "2.0.0", **params: str) -> None:
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.frames: list[str] = []
        self.code: int | None = None
        self.blocked = asyncio.Event()
        self.blocked.set()
        self._in: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        query = "&".join([f"vsn={vsn}", *(f"{name}={value}" for name, value in params.items())])
        self.task = asyncio.ensure_future(self._serve(endpoint, query))

    async def _serve(self, endpoint: Endpoint, query: str) -> None:
        shake = handshake(query, {}, [])
        await endpoint.serve(shake, self, await endpoint.admit(shake))

    async def receive(self) -> str | bytes | None:
        return await self._in.get()

    async def send(self, text: str) -> None:
        await self.blocked.wait()
        self.frames.append(text)
        self.sent.put_nowait(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        self.code = code

    def say(self, *message: Any) -> None:
        self._in.put_nowait(json.dumps(message[0] if len(message) == 1 else list(message)))

    def raw(self, frame: str | bytes | None) -> None:
        self._in.put_nowait(frame)

    async def next(self) -> Any:
        return await asyncio.wait_for(self.sent.get(), DEADLINE)

    async def join(self, topic: str, ref: str = "1", **params: Any) -> Any:
        self.say(ref, ref, topic, "phx_join", params)
        return await self.next()

    async def ended(self) -> int | None:
        await asyncio.wait_for(self.task, DEADLINE)
        return self.code


async def cancelled() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


class Room(Channel):
    left: list[str] = []

    async def on_join(self, topic: str, params: Any, socket: Socket) -> Any:
        if "user" in params:
            socket.track(params["user"], {"n": 1})
        if params.get("refuse"):
            raise Refuse("not you")
        if params.get("fail"):
            raise ValueError("a bug")
        if params.get("cancelled"):
            await cancelled()
        if params.get("hang"):
            await asyncio.Event().wait()
        return params.get("answer")

    async def on_event(self, event: str, payload: Any, socket: Socket) -> Any:
        if event == "fail":
            raise ValueError("a bug")
        if event == "no":
            raise Refuse({"reason": "no", "code": 7})
        if event == "shout":
            socket.broadcast("shout", payload)
        if event == "whisper":
            socket.broadcast_from("shout", payload)
        if event == "set":
            socket.update(payload["user"], {"n": payload["n"]})
        if event == "hang":
            await asyncio.Event().wait()
        if event == "cancelled":
            await cancelled()
        if isinstance(payload, bytes):
            return {"bytes": len(payload)}
        return {"heard": event} if payload.get("reply") else None

    def on_leave(self, reason: str, socket: Socket) -> None:
        self.left.append(reason)


@asynccontextmanager
async def serving(users: Presence | None = None, **limits: Any) -> AsyncIterator[Endpoint]:
    async with users or Presence(**LOCAL) as started:
        endpoint = Endpoint(started, limits=Limits(**limits))
        room = type("Room", (Room,), {"left": []})
        endpoint.channel("room:*")(room)
        endpoint.left_reasons = room.left  # type: ignore[attr-defined]
        endpoint.channel("realtime:*")(SupabaseChannel)
        yield endpoint
        await endpoint.close()
        assert endpoint.sockets == 0


def ok(ref: str, topic: str, response: Any, join_ref: str | None = "1") -> list[Any]:
    return [join_ref, ref, topic, "phx_reply", {"status": "ok", "response": response}]


def failed(ref: str, topic: str, reason: str, join_ref: str | None = "1") -> list[Any]:
    return [join_ref, ref, topic, "phx_reply", {"status": "error", "response": {"reason": reason}}]


def test_join_state_diffs_leave(run: Any) -> None:
    async def main() -> None:
        async with serving() as endpoint:
            a, b = Wire(endpoint), Wire(endpoint)
            assert await a.join("room:1", user="ann", answer={"hello": 1}) == ok("1", "room:1", {"hello": 1})
            join_ref, ref, topic, event, state = await a.next()
            assert (join_ref, ref, topic, event) == ("1", None, "room:1", "presence_state")
            assert state["ann"]["metas"][0]["n"] == 1
            assert await b.join("room:1", "5", user="bob") == ok("5", "room:1", {}, "5")
            assert set((await b.next())[4]) == {"ann", "bob"}
            join_ref, ref, topic, event, diff = await a.next()
            assert (join_ref, ref, event, set(diff["joins"]), diff["leaves"]) == (
                None, None, "presence_diff", {"bob"}, {},
            )  # fmt: skip
            old = diff["joins"]["bob"]["metas"][0]
            b.say("5", "6", "room:1", "set", {"user": "bob", "n": 2, "reply": True})
            diff = (await a.next())[4]
            new = diff["joins"]["bob"]["metas"][0]
            assert diff["leaves"]["bob"]["metas"] == [old]
            assert (new["n"], new["phx_ref_prev"]) == (2, old["phx_ref"])
            b.say("5", "7", "room:1", "phx_leave", {})
            [left] = (await a.next())[4]["leaves"]["bob"]["metas"]
            assert (left["n"], left["phx_ref"]) == (2, new["phx_ref"])
            frames = [await b.next() for _ in range(4)]
            assert ok("6", "room:1", {"heard": "set"}, "5") in frames
            assert frames[-2:] == [ok("7", "room:1", {}, "5"), ["5", "5", "room:1", "phx_close", {}]]
            assert endpoint.left_reasons == ["left"]  # type: ignore[attr-defined]
            b.say("5", "8", "room:1", "phx_leave", {})  # again: fine
            assert await b.next() == ok("8", "room:1", {}, "5")
            b.say("5", "9", "room:1", "set", {})
            assert await b.next() == failed("9", "room:1", "unmatched topic", None)

    run(main())


def test_version_1(run_once: Any) -> None:
    async def main() -> None:
        async with serving() as endpoint:
            wire = Wire(endpoint, "1.0.0")
            wire.say({"topic": "room:1", "event": "phx_join", "payload": {"user": "ann"}, "ref": "1"})
            assert await wire.next() == {
                "topic": "room:1", "event": "phx_reply", "ref": "1", "payload": {"status": "ok", "response": {}},
            }  # fmt: skip
            state = await wire.next()
            assert (state["event"], state["ref"], set(state["payload"])) == ("presence_state", None, {"ann"})
            wire.say({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "2"})
            assert (await wire.next())["topic"] == "phoenix"
            wire.say({"topic": "room:1", "event": "phx_leave", "payload": {}, "ref": "3"})
            seen = [(frame["event"], frame["ref"]) for frame in [await wire.next(), await wire.next()]]
            assert seen == [("phx_reply", "3"), ("phx_close", "1")]

    run_once(main())


def test_refusals_and_errors(run_once: Any, errors: Any) -> None:
    async def main() -> None:
        async with serving(joins=2) as endpoint:
            wire = Wire(endpoint)
            assert await wire.join("nowhere") == failed("1", "nowhere", "unmatched topic", None)
            assert await wire.join("room:1", user="x", refuse=True) == failed("1", "room:1", "not you")
            assert await wire.join("room:1", user="x", fail=True) == failed("1", "room:1", "join crashed")
            assert endpoint.users.count("room:1") == 0
            assert await wire.join("room:1", user="x") == ok("1", "room:1", {})
            await wire.next()
            wire.say("1", "2", "room:1", "no", {})
            reply = {"status": "error", "response": {"reason": "no", "code": 7}}
            assert await wire.next() == ["1", "2", "room:1", "phx_reply", reply]
            wire.say(None, "3", "phoenix", "heartbeat", {})
            assert await wire.next() == ok("3", "phoenix", {}, None)
            wire.say("1", "4", "room:1", "fail", {})
            assert await wire.next() == ["1", "1", "room:1", "phx_error", {"reason": "channel_crash"}]
            assert endpoint.users.count("room:1") == 0
            for number in "12":
                assert (await wire.join(f"room:{number}", number, user="x"))[4]["status"] == "ok"
                await wire.next()
            assert await wire.join("room:3", "3") == failed("3", "room:3", "too many channels joined", "3")
            assert endpoint.left_reasons == ["error"]  # type: ignore[attr-defined]
        assert len(errors()) == 2

    run_once(main())


def test_a_handler_that_awaits_what_was_cancelled_fails(run_once: Any, errors: Any) -> None:
    async def main() -> None:
        async with serving() as endpoint:
            wire = Wire(endpoint)
            assert await wire.join("room:1", cancelled=True) == failed("1", "room:1", "join crashed")
            await wire.join("room:1")
            await wire.next()
            wire.say("1", "2", "room:1", "cancelled", {})
            assert await wire.next() == ["1", "1", "room:1", "phx_error", {"reason": "channel_crash"}]
        assert len(errors()) == 2

    run_once(main())


def test_a_second_join_replaces_the_first(run_once: Any) -> None:
    async def main() -> None:
        async with serving() as endpoint:
            wire = Wire(endpoint)
            await wire.join("room:1", user="ann")
            await wire.next()
            assert await wire.join("room:1", "9", user="ann") == ["1", "1", "room:1", "phx_close", {}]
            assert await wire.next() == ok("9", "room:1", {}, "9")
            assert len((await wire.next())[4]["ann"]["metas"]) == 1
            wire.say("1", "10", "room:1", "set", {"user": "ann", "n": 2, "reply": True})  # of the first: dropped
            wire.say("9", "11", "room:1", "other", {"reply": True})
            assert await wire.next() == ok("11", "room:1", {"heard": "other"}, "9")
            assert endpoint.left_reasons == ["replaced"]  # type: ignore[attr-defined]

    run_once(main())


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", 1007),
        ("[]", 1007),
        ('["1","1","t","e"]', 1007),
        ('["1","1","t","e",{},1]', 1007),
        ('{"topic":"t","event":"e"}', 1007),
        ('["1","1",5,"e",{}]', 1007),
        ('["1",[],"t","e",{}]', 1007),
        ('["1","1","t","e",NaN]', 1007),
        ("[" * 50_000, 1007),
        (b"", 1007),
        (b"\x09\x00\x00\x00\x00", 1007),  # an unknown kind
        (b"\x00\x00\x00\x05\x00room", 1007),  # shorter than it says
        (b"\x00\x00\x00\x01\x00\xff", 1007),  # no UTF-8
        (b"\x03\x00\x00\x01\x01\x00\x01te{", 1007),  # no JSON
        (None, None),
    ],
)
def test_a_bad_message_ends_this_socket_alone(run_once: Any, frame: str | bytes | None, code: int | None) -> None:
    async def main() -> None:
        async with serving() as endpoint:
            good, bad = Wire(endpoint), Wire(endpoint)
            await good.join("room:1", user="ann")
            await good.next()
            await bad.join("room:1", user="bob")
            assert set((await good.next())[4]["joins"]) == {"bob"}
            bad.raw(frame)
            assert await bad.ended() == code
            assert set((await good.next())[4]["leaves"]) == {"bob"}
            assert endpoint.left_reasons == ["closed"]  # type: ignore[attr-defined]

    run_once(main())


def test_floods_and_silence_end_a_socket(run_once: Any) -> None:
    async def main() -> None:
        async with serving(events_burst=5, events_per_second=1) as endpoint:
            wire = Wire(endpoint)
            for number in range(9):
                wire.say(None, str(number), "phoenix", "heartbeat", {})
            assert await wire.ended() == 1008
            assert len(wire.frames) <= 5
        async with serving(idle_seconds=0.05) as endpoint:
            assert await Wire(endpoint).ended() == 1001

    run_once(main())


def test_a_full_channel_that_crashes_lets_its_socket_go_on(run_once: Any) -> None:
    """The reader waits for a channel with too many events; the end of the channel must wake it."""

    async def main() -> None:
        async with serving(pending_events=2) as endpoint:
            wire = Wire(endpoint)
            wire.say("1", "1", "room:1", "phx_join", {"hang": True})
            for number in range(5):
                wire.say("1", f"a{number}", "room:1", "x", {})
            await until(lambda: endpoint.sockets == 1)
            [connection] = endpoint._connections
            await until(lambda: connection._sessions and connection._sessions["room:1"]._waiting.full())
            connection._sessions["room:1"].end("error")
            wire.say(None, "9", "phoenix", "heartbeat", {})
            while (await wire.next())[1] != "9":
                pass

    run_once(main())


def test_a_slow_reader_waits_for_presence_and_is_closed_by_broadcasts(run_once: Any) -> None:
    async def main() -> None:
        async with serving(send_bytes=4096) as endpoint:
            slow, fast = Wire(endpoint), Wire(endpoint)
            for wire in (slow, fast):
                await wire.join("room:1")
                await wire.next()
            slow.blocked.clear()
            owner = endpoint.users.owner()
            for number in range(300):
                owner.track("room:1", str(number), {"text": "x" * 100})
                await asyncio.sleep(0)
            keys: set[str] = set()
            while len(keys) < 300:
                keys |= set((await fast.next())[4]["joins"])
            [waiting] = [c for c in endpoint._connections if c._transport is slow]
            assert waiting._bytes < 200_000
            slow.blocked.set()
            keys = set()
            while len(keys) < 300:
                frame = await slow.next()
                keys |= set(frame[4]["joins"] if frame[3] == "presence_diff" else frame[4])
            slow.blocked.clear()
            for number in range(20):
                endpoint.broadcast("room:1", "news", {"number": number, "text": "x" * 1000})
                while (frame := await fast.next())[4].get("number") != number:
                    pass
            assert await slow.ended() == 1013
            assert fast.code is None

    run_once(main())


def test_broadcasts_reach_the_room_once_encoded(run_once: Any) -> None:
    async def main() -> None:
        async with serving() as endpoint:
            a, b, old = Wire(endpoint), Wire(endpoint), Wire(endpoint, "1.0.0")
            for wire in (a, b):
                await wire.join("room:1")
                await wire.next()
            old.say({"topic": "room:1", "event": "phx_join", "payload": {}, "ref": "1"})
            assert [(await old.next())["event"] for _ in "12"] == ["phx_reply", "presence_state"]
            a.raw('["1","2","room:1","shout",{"text":"\\ud800","__proto__":1}]')
            payload = {"text": "\ud800", "__proto__": 1}
            for wire in (a, b):
                assert await wire.next() == [None, None, "room:1", "shout", payload]
            assert await old.next() == {"topic": "room:1", "event": "shout", "payload": payload, "ref": None}
            assert a.frames[-1] is b.frames[-1]
            a.say("1", "3", "room:1", "whisper", {"n": 1})
            assert (await b.next())[4] == {"n": 1}
            a.say(None, "4", "phoenix", "heartbeat", {})
            assert (await a.next())[1] == "4"

    run_once(main())


def test_one_join_one_fetch_for_a_hundred_subscribers(run_once: Any) -> None:
    calls: list[list[str]] = []

    async def fetch(topic: str, presences: Any) -> Any:
        calls.append(list(presences))
        return {key: {**entry, "name": key.upper()} for key, entry in presences.items()}

    async def main() -> None:
        async with serving(Presence(fetch=fetch, **LOCAL)) as endpoint:
            wires = [Wire(endpoint) for _ in range(100)]
            for wire in wires:
                await wire.join("room:1")
                await wire.next()
            calls.clear()
            owner = endpoint.users.owner()
            owner.track("room:1", "ann")
            frames = [await wire.next() for wire in wires]
            assert calls == [["ann"]]
            assert frames[0][4]["joins"]["ann"]["name"] == "ANN"
            assert all(wire.frames[-1] is wires[0].frames[-1] for wire in wires)

    run_once(main())


def test_a_hanging_fetch_holds_back_its_topic_alone(run_once: Any) -> None:
    async def fetch(topic: str, presences: Any) -> Any:
        if topic == "room:slow":
            await asyncio.Event().wait()
        return presences

    async def main() -> None:
        async with serving(Presence(fetch=fetch, fetch_timeout_ms=60_000, **LOCAL)) as endpoint:
            slow, quick = Wire(endpoint), Wire(endpoint)
            await slow.join("room:slow", user="x")
            await quick.join("room:quick", user="x")
            await quick.next()
            owner = endpoint.users.owner()
            for number in range(50):
                owner.track("room:quick", str(number))
                assert set((await quick.next())[4]["joins"]) == {str(number)}
            assert len(slow.frames) == 1

    run_once(main())


def test_a_push_of_bytes(run_once: Any) -> None:
    async def main() -> None:
        async with serving() as endpoint:
            wire = Wire(endpoint)
            await wire.join("room:1")
            await wire.next()
            wire.raw(b"\x00\x01\x01\x06\x04" + b"12room:1blob" + b"\xff\x00\x01")
            assert await wire.next() == ok("2", "room:1", {"bytes": 3})
            await wire.join("realtime:1")
            await wire.next()
            head = b"\x03\x01\x01\x0a\x01\x00"
            wire.raw(head + b"\x01" + b"13realtime:1e" + b"[1]")  # nobody else is there
            wire.raw(head + b"\x00" + b"14realtime:1e" + b"[1]")
            assert await wire.next() == failed("4", "realtime:1", "broadcasts of bytes are not served")
        async with serving() as endpoint:
            old = Wire(endpoint, "1.0.0")
            old.raw(b"\x00\x00\x00\x00\x00")
            assert await old.ended() == 1007

    run_once(main())


@pytest.mark.parametrize("end", ["refuse", "crash"])
def test_what_waits_for_a_channel_that_ends_is_answered(run_once: Any, end: str) -> None:
    async def main() -> None:
        async with serving(pending_events=2) as endpoint:
            wire = Wire(endpoint)
            if end == "refuse":
                wire.say("1", "1", "room:1", "phx_join", {"refuse": True})
            else:
                await wire.join("room:1")
                await wire.next()
                wire.say("1", "1", "room:1", "fail", {})
            for ref in range(2, 8):  # more than may wait: the last is not read before some are gone
                wire.say("1", str(ref), "room:1", "phx_leave" if ref == 7 else "x", {})
            first = await wire.next()
            assert first[4] == {"status": "error", "response": {"reason": "not you"}} or first[3] == "phx_error"
            for ref in range(2, 7):
                assert await wire.next() == failed(str(ref), "room:1", "unmatched topic", None)
            assert await wire.next() == ok("7", "room:1", {})

    run_once(main())


def test_supabase_events(run_once: Any) -> None:
    async def main() -> None:
        async with serving() as endpoint:
            wire = Wire(endpoint)
            config = {"presence": {"key": "__proto__", "enabled": True}, "broadcast": {"ack": True, "self": True}}
            assert await wire.join("realtime:1", config=config) == ok("1", "realtime:1", {"postgres_changes": []})
            assert (await wire.next())[3:] == ["presence_state", {}]

            def presence(ref: str, event: str, payload: Any = None) -> None:
                content = {"type": "presence", "event": event, "payload": payload}
                wire.say("1", ref, "realtime:1", "presence", content)

            presence("2", "track", {"n": 1})
            seen = {frame[3]: frame for frame in [await wire.next(), await wire.next()]}
            assert seen["phx_reply"] == ok("2", "realtime:1", {})
            assert set(seen["presence_diff"][4]["joins"]) == {"__proto__"}
            presence("3", "track", {"n": 1})  # the same: nothing happens
            assert await wire.next() == ok("3", "realtime:1", {})
            presence("3", "track", {"n": True})  # equal in Python, not in JSON
            seen = {frame[3]: frame for frame in [await wire.next(), await wire.next()]}
            assert seen["presence_diff"][4]["joins"]["__proto__"]["metas"][0]["n"] is True
            presence("4", "dance")
            assert (await wire.next())[4]["status"] == "error"
            presence("5", "untrack")
            seen = {frame[3]: frame for frame in [await wire.next(), await wire.next()]}
            assert set(seen["presence_diff"][4]["leaves"]) == {"__proto__"}
            wire.say("1", "6", "realtime:1", "broadcast", {"type": "broadcast", "event": "e", "payload": {}})
            seen = {frame[3]: frame for frame in [await wire.next(), await wire.next()]}
            assert set(seen) == {"broadcast", "phx_reply"}

    run_once(main())


def test_closing_is_bounded_and_tells_all(run_once: Any) -> None:
    async def main() -> None:
        async with Presence(**LOCAL) as users:
            endpoint = Endpoint(users, limits=Limits(close_seconds=0.1))

            @endpoint.channel("*")
            class Stuck(Channel):
                async def on_leave(self, reason: str, socket: Socket) -> None:
                    await asyncio.Event().wait()

            wire = Wire(endpoint)
            await wire.join("t")
            await endpoint.close()
            assert await wire.ended() == 1012
            with pytest.raises(Refuse):
                await endpoint.admit(handshake("vsn=2.0.0", {}, []))

    run_once(main())


def test_a_connect_function_that_hangs_is_a_refusal(run_once: Any) -> None:
    async def hang(params: Any, headers: Any) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with Presence(**LOCAL) as users:
            endpoint = Endpoint(users, connect=hang, limits=Limits(connect_seconds=0.02))
            with pytest.raises(Refuse, match="connect took too long"):
                await endpoint.admit(handshake("vsn=2.0.0", {}, []))

    run_once(main())


@pytest.mark.parametrize(("patience", "trying_ms"), [(20, 300), (0.02, 20_000)])
def test_clients_wait_for_the_first_sync_but_not_for_ever(run_once: Any, patience: float, trying_ms: int) -> None:
    async def main() -> None:
        with socket_module.create_server(("127.0.0.1", 0)) as silent:  # a seed that takes connections and says nothing
            seed = f"127.0.0.1:{silent.getsockname()[1]}"
            async with Presence(join=[seed], listen="", connect_timeout_ms=trying_ms) as users:
                endpoint = Endpoint(users, limits=Limits(connect_seconds=patience))
                assert not users.is_synced
                assert await endpoint.admit(handshake("vsn=2.0.0", {}, [])) == {}
                assert users.is_synced == (patience == 20)

    run_once(main())


def test_a_channel_may_end_its_own_socket(run_once: Any) -> None:
    """By broadcasts that this client does not take: what follows is dropped, and no task is left behind."""

    async def main() -> None:
        async with serving(send_bytes=1000) as endpoint:
            before = asyncio.all_tasks()
            wire = Wire(endpoint)

            class Loud(Channel):
                def on_event(self, event: str, payload: Any, socket: Socket) -> Any:
                    for _ in range(10):
                        socket.broadcast("noise", "x" * 500)
                    return {}

            endpoint.channel("loud")(Loud)
            await wire.join("loud", "2")
            await wire.next()
            wire.blocked.clear()
            wire.say("2", "3", "loud", "go", {})
            assert await wire.ended() == 1013
            await until(lambda: asyncio.all_tasks() <= before)

    run_once(main())


def test_a_transport_that_fails_is_a_client_that_is_gone(run_once: Any, errors: Any) -> None:
    class Broken(Wire):
        async def send(self, text: str) -> None:
            raise ConnectionResetError

    async def main() -> None:
        async with serving() as endpoint:
            wire = Broken(endpoint)
            wire.say("1", "1", "room:1", "phx_join", {"user": "ann"})
            assert await wire.ended() is None
            assert endpoint.users.count("room:1") == 0
        assert errors() == []

    run_once(main())


def test_what_a_handshake_says() -> None:
    shake = handshake("vsn=2.0.0&a=1", {}, ["phoenix", "base64url.bearer.phx.w6TDtg"])
    assert shake.params == {"vsn": "2.0.0", "a": "1", "auth_token": "äö"} and shake.subprotocol == "phoenix"
    assert "auth_token" not in handshake("", {}, ["base64url.bearer.phx._w"]).params
    for vsn in ("3.0.0", "__proto__", "x", ""):
        assert handshake(f"vsn={vsn}", {}, []).serializer is None
    here = {"host": "app.example:4000"}
    assert allowed_origin(here, True)
    assert allowed_origin({**here, "origin": "https://app.example"}, True)
    assert not allowed_origin({**here, "origin": "https://evil.example"}, True)
    assert not allowed_origin({**here, "origin": "null"}, True)
    assert not allowed_origin({"origin": "null"}, True)
    assert not allowed_origin({**here, "origin": "null"}, ["http://["])
    assert allowed_origin({"host": "127.0.0.1:1", "origin": "http://localhost:5173"}, True)
    assert allowed_origin({**here, "origin": "https://other.example"}, ["other.example"])
    assert not allowed_origin({**here, "origin": "https://x.example"}, ["https://other.example"])
    assert allowed_origin({**here, "origin": "https://x.example"}, False)
