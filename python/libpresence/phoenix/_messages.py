"""The two serializers of Phoenix Channels: version 2 writes arrays of five, version 1 objects.

Payloads may come as JSON text that was made before (`Raw`), so that a presence event is encoded once for all sockets.
Binary frames are read, not written: version 2 has pushes whose payload is bytes, and realtime-js sends its broadcasts so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NamedTuple


DEPTH = 512  # of arrays and objects in a frame; what is deeper is refused, as handlers that recurse would fail on it
_WHOLE = 2**53 - 1  # numbers up to it are themselves in JavaScript


class Message(NamedTuple):
    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Any


class BadMessage(ValueError):
    """What came is no message of this protocol; as with Phoenix the socket ends."""


class Raw(NamedTuple):
    """JSON text that is used as it is."""

    text: str


def to_json(value: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which a client may send: only escaped can it go on
            return json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text


class Version2:
    """[join_ref, ref, topic, event, payload]"""

    def decode(self, frame: str | bytes) -> Message:
        if isinstance(frame, bytes):
            return _binary(frame)
        parts = _loads(frame)
        if not isinstance(parts, list) or len(parts) != 5:
            raise BadMessage("a message is an array of five: join_ref, ref, topic, event, payload")
        return _checked(*parts)

    def encode(self, join_ref: str | None, ref: str | None, topic: str, event: str, payload: Any) -> str:
        return f"[{to_json(join_ref)},{to_json(ref)},{to_json(topic)},{to_json(event)},{to_json(payload)}]"


class Version1:
    """{"topic", "event", "payload", "ref"}; a join's ref is its join_ref, which is never sent back."""

    def decode(self, frame: str | bytes) -> Message:
        if isinstance(frame, bytes):
            raise BadMessage("version 1 has no binary frames")
        fields = _loads(frame)
        if not isinstance(fields, dict):
            raise BadMessage("a message is an object with topic, event, payload and ref")
        ref = fields.get("ref")
        topic, event = fields.get("topic"), fields.get("event")
        join_ref = fields.get("join_ref", ref if event == "phx_join" else None)
        return _checked(join_ref, ref, topic, event, fields.get("payload", {}))

    def encode(self, join_ref: str | None, ref: str | None, topic: str, event: str, payload: Any) -> str:
        return (
            f'{{"topic":{to_json(topic)},"event":{to_json(event)},'
            f'"payload":{to_json(payload)},"ref":{to_json(ref)}}}'
        )


Serializer = Version1 | Version2
_VERSIONS: dict[str, Serializer] = {"1": Version1(), "2": Version2()}


def serializer_of(vsn: str) -> Serializer | None:
    """The serializer a client asks for by `vsn` (\"2.0.0\"); None: an unknown one."""
    return _VERSIONS.get(vsn.partition(".")[0])


def _binary(frame: bytes) -> Message:
    """Kind 0, a push: four lengths, then join_ref, ref, topic, event, and the payload as bytes. Kind 3, a broadcast of
    realtime-js: six numbers, of which the last says whether the payload is JSON; then its event and metadata."""
    kind = frame[0] if frame else None
    if kind == 0:
        (join_ref, ref, topic, event), payload = _fields(frame, 4, 5)
        return Message(join_ref or None, ref or None, topic, event, payload)
    if kind == 3:
        (join_ref, ref, topic, event, meta), payload = _fields(frame, 5, 7)
        content = {"type": "broadcast", "event": event, "payload": _loads(_text(payload)) if frame[6] == 1 else payload}
        if meta:
            content["meta"] = _loads(meta)
        return Message(join_ref or None, ref or None, topic, "broadcast", content)
    raise BadMessage("a binary frame of an unknown kind")


def _fields(frame: bytes, count: int, start: int) -> tuple[list[str], bytes]:
    """Texts behind a header of `start` bytes that has their lengths, and the rest."""
    end = start + sum(frame[1 : count + 1])
    if len(frame) < end:
        raise BadMessage("a binary frame ends too early")
    texts = []
    for size in frame[1 : count + 1]:
        texts.append(_text(frame[start : start + size]))
        start += size
    return texts, frame[end:]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadMessage("not UTF-8") from None


def _loads(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_float, parse_int=_int)
    except RecursionError:
        raise BadMessage("nested too deeply") from None
    except ValueError:  # what it says varies with the client's words
        raise BadMessage("not JSON") from None
    if len(text) > 2 * DEPTH and _is_deep(value):
        raise BadMessage("nested too deeply")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):  # no JSON can say it again
        raise ValueError("a number that no double holds")
    return value


def _int(text: str) -> int:
    if len(text) > 300:
        _float(text)
    return int(text)


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH + 1):
        level = [inner for outer in level if isinstance(outer, (list, dict)) for inner in _members(outer)]
    return bool(level)


def _members(value: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _checked(join_ref: Any, ref: Any, topic: Any, event: Any, payload: Any) -> Message:
    if not isinstance(topic, str) or not isinstance(event, str):
        raise BadMessage("topic and event must be text")
    return Message(_ref(join_ref), _ref(ref), topic, event, payload)


def _ref(ref: Any) -> str | None:
    if ref is None or isinstance(ref, str):
        return ref
    if isinstance(ref, (int, float)) and not isinstance(ref, bool) and abs(ref) <= _WHOLE and ref == int(ref):
        return str(int(ref))  # old clients count in numbers
    raise BadMessage("join_ref and ref must be text or null")
