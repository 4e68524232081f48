"""What a client says before its socket is accepted: parameters, version, token, origin."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from ._messages import Serializer, serializer_of

SUBPROTOCOL = "phoenix"
_TOKEN = "base64url.bearer.phx."
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Handshake(NamedTuple):
    params: dict[str, str]  # of the query; auth_token: the token of the subprotocols
    headers: Mapping[str, str]  # names in lower case
    serializer: Serializer | None  # None: vsn is unknown
    subprotocol: str | None  # to answer with


def handshake(query: str, headers: Mapping[str, str], subprotocols: list[str]) -> Handshake:
    params = dict(parse_qsl(query, keep_blank_values=True))
    for protocol in subprotocols:
        if protocol.startswith(_TOKEN):
            token = _decoded(protocol[len(_TOKEN) :])
            if token is not None:
                params["auth_token"] = token
    chosen = SUBPROTOCOL if SUBPROTOCOL in subprotocols else None
    return Handshake(params, headers, serializer_of(params.get("vsn", "1.0.0")), chosen)


def _decoded(token: str) -> str | None:
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        return None


def allowed_origin(headers: Mapping[str, str], allowed: bool | list[str]) -> bool:
    """Browsers send where a page is from; others send nothing and are let in."""
    origin = headers.get("origin")
    if origin is None or allowed is False:
        return True
    host = _host(origin)
    entries = [headers.get("host", "")] if allowed is True else allowed
    hosts = [_host(entry if "//" in entry else f"//{entry}") for entry in entries]
    return origin in entries or (host is not None and host in hosts)


def _host(url: str) -> str | None:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    return "localhost" if host in _LOOPBACK else host
