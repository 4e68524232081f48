"""Topics, keys and metas: from what callers pass to the bytes the core takes, and back."""

from __future__ import annotations

import json
import marshal
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ._errors import InvalidArgument, InvalidKey, InvalidMeta, InvalidTopic

RESERVED = ("phx_ref", "phx_ref_prev")

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False)


def _make_pieces() -> Callable[[Any, int], Iterable[str]]:
    """JSONEncoder.encode makes a new encoder for each call; CPython's can be kept, which halves the time of a track."""
    try:
        kept: Callable[[Any, int], Iterable[str]] = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
            None, _encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False
        )
        if "".join(kept({"a": [1, "é"]}, 0)) == '{"a":[1,"é"]}':
            return kept
    except Exception:
        pass
    return lambda value, _indent: (_encoder.encode(value),)


_pieces = _make_pieces()


def to_json(value: Any) -> str:
    return "".join(_pieces(value, 0))


def topic_text(topic: Any) -> str:
    """A topic is text, or an object whose `topic` is."""
    if isinstance(topic, str):
        return topic
    inner = getattr(topic, "topic", None)
    if isinstance(inner, str):
        return inner
    raise InvalidTopic(f"topic must be text or an object with a text attribute 'topic', not {_name(topic)}")


def topic_bytes(topic: Any) -> bytes:
    try:
        return (topic if type(topic) is str else topic_text(topic)).encode()
    except UnicodeEncodeError as error:
        raise InvalidTopic(f"topic is not valid Unicode text: {error}") from None


def key_bytes(key: Any) -> bytes:
    """A key is text, an int or a UUID; 1 and "1" are one key."""
    if isinstance(key, str):
        text = key
    elif isinstance(key, uuid.UUID) or (isinstance(key, int) and not isinstance(key, bool)):
        text = _plain(key)
    else:
        raise InvalidKey(f"key must be text, int or uuid.UUID, not {_name(key)}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidKey(f"key is not valid Unicode text: {error}") from None


def _plain(key: int | uuid.UUID) -> str:
    try:
        return str(key) if isinstance(key, uuid.UUID) else int.__repr__(key)
    except ValueError as error:  # more digits than Python writes
        raise InvalidKey(str(error)) from None


def meta_bytes(meta: Any) -> bytes:
    """The JSON text of a meta. The reserved names are dropped, so what list gave may be passed back."""
    if meta is None:
        return b"{}"
    if not isinstance(meta, dict):
        if not isinstance(meta, Mapping):
            raise InvalidMeta(f"meta must be a dict, not {_name(meta)}")
        meta = dict(meta)
    if "phx_ref" in meta or "phx_ref_prev" in meta:
        meta = {name: value for name, value in meta.items() if name not in RESERVED}
    try:
        return "".join(_pieces(meta, 0)).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidMeta(f"meta cannot be written as JSON: {error}") from error


_plain_sample = ("t", "é", {"a": [1, -1 << 40, True, None], "b": {}})
_PLAIN_SAMPLE = (
    b"(\3\0\0\0u\1\0\0\0tu\2\0\0\0\xc3\xa9{u\1\0\0\0a[\4\0\0\0i\1\0\0\0l\xfd\xff\xff\xff\0\0\0\0\0\4TN"
    b"u\1\0\0\0b{00"
)


def _make_plain() -> Callable[[Any], bytes | None]:
    """marshal takes a third of the time of JSON. Its format is Python's own business, so what this one writes is looked
    at first; where it is not what glue_marshal.c reads, JSON it is."""

    def plain(value: Any) -> bytes | None:
        try:
            return dumps(value, 2)
        except ValueError:  # something that marshal does not write
            return None

    dumps = marshal.dumps
    return plain if plain(_plain_sample) == _PLAIN_SAMPLE else lambda value: None


plain = _make_plain()


def with_refs(meta: dict[str, Any], ref: str, prev_ref: str | None) -> dict[str, Any]:
    """A meta as presences carry it."""
    return {**meta, "phx_ref": ref, "phx_ref_prev": prev_ref} if prev_ref else {**meta, "phx_ref": ref}


def seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 10**8:
        raise InvalidArgument(f"{name} must be seconds, 0 or more, not {value!r}")
    return float(value)


def optional_seconds(name: str, value: Any) -> float | None:
    return None if value is None else seconds(name, value)


def _name(value: Any) -> str:
    return type(value).__name__
