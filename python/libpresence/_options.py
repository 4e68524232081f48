"""Options: keyword arguments to the texts the core takes; the table of names and defaults is the core's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._errors import BY_CODE, InternalError, InvalidOption, OutOfMemory, PresenceError
from ._ffi import ffi, lib

if TYPE_CHECKING:
    from ._network import Network


def option_defaults() -> dict[str, str]:
    """Every option with its default as text."""
    defaults: dict[str, str] = {}
    value = ffi.new("const char **")
    help_text = ffi.new("const char **")
    while True:
        name = lib.presence_option_at(len(defaults), value, help_text)
        if not name:
            return defaults
        defaults[ffi.string(name).decode()] = ffi.string(value[0]).decode() if value[0] else ""


def option_text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, (list, tuple)) and name in ("join", "advertise", "secret"):
        if any(isinstance(item, str) and "," in item for item in value):
            raise InvalidOption(f"{name}: an item of the list has a comma, which separates items", option=name)
        return ",".join(option_text(name, item) for item in value)
    if not isinstance(value, str) or "\0" in value:
        shown = type(value).__name__ if name == "secret" else repr(value)
        raise InvalidOption(f"{name}: {shown} is neither text nor a whole number", option=name)
    return value


class Options:
    """Checked options of one tracker, and the network it starts on: None is the real one."""

    network: Network | None = None

    def __init__(self, values: Mapping[str, Any]) -> None:
        values = dict(values)
        env = values.pop("env", False)
        if not isinstance(env, bool):
            raise InvalidOption(f"env: {env!r} is not True or False", option="env")
        self._env = env
        self._texts = {name: option_text(name, value) for name, value in values.items() if value is not None}
        self.config()  # refuses what is unknown or bad
        self._all = option_defaults()
        if env:
            variables = {name: os.environ.get(f"LIBPRESENCE_{name.upper()}") for name in self._all}
            self._all.update((name, text) for name, text in variables.items() if text is not None)
        self._all.update(self._texts)

    def config(self) -> Any:
        """A presence_config with these options; names that have to be new for each start are made by the core."""
        config = lib.presence_config_new()
        if not config:
            raise OutOfMemory()
        config = ffi.gc(config, lib.presence_config_free)
        code = lib.presence_config_load_env(config) if self._env else 0
        for name, text in self._texts.items():
            if code:
                break
            try:
                code = lib.presence_config_set(config, name.encode(), text.encode())
            except UnicodeEncodeError:
                raise InvalidOption(f"{name!r}: not valid Unicode text", option=name) from None
        code = code or lib.presence_config_check(config)
        if code:
            raise config_error(config, code)
        return config

    def text(self, name: str) -> str:
        return self._all[name]

    def number(self, name: str) -> int:
        return int(self._all[name])


_NAMED = re.compile(r'(?:LIBPRESENCE_\w+: )?(?:unknown )?option "?([^\s":]+)')


def config_error(config: Any, code: int) -> PresenceError:
    """The core's text begins with the option it is about, if it is about one."""
    message = ffi.string(lib.presence_config_message(config)).decode("utf-8", "replace")
    named = _NAMED.match(message)
    return BY_CODE.get(code, InternalError)(message or None, option=named[1] if named else None)
