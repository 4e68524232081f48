"""The hooks of a class: which are there, given as methods, attributes or keyword arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ._errors import InvalidOption

NAMES = ("fetch", "handle_diff", "handle_metas", "handle_member", "handle_resync")

Hook = Callable[..., Any]


def split_hooks(options: dict[str, Any]) -> dict[str, Hook]:
    """Takes the hooks out of keyword arguments."""
    hooks: dict[str, Hook] = {}
    for name in NAMES:
        hook = options.pop(name, None)
        if hook is None:
            continue
        if not callable(hook):
            raise InvalidOption(f"{name} must be a function, not {type(hook).__name__}", option=name)
        hooks[name] = hook
    return hooks


def find_hooks(instance: object, base: type, given: dict[str, Hook]) -> dict[str, Hook]:
    """What a subclass, the instance or the caller defines; the empty methods of the base do not count."""
    hooks: dict[str, Hook] = {}
    for name in NAMES:
        hook = given.get(name) or getattr(instance, name)
        if getattr(hook, "__func__", hook) is not getattr(base, name):
            hooks[name] = hook
    return hooks


async def call_hook(hook: Hook, *args: Any) -> Any:
    """What a function of the application returns, awaited if it is asynchronous."""
    result = hook(*args)
    return await result if inspect.isawaitable(result) else result
