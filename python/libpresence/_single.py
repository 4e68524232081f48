"""Objects of which there is one: a second handle of the same thing would end it when it is collected."""

from __future__ import annotations

from typing import NoReturn


class Single:
    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} objects cannot be copied or pickled: make one where it is needed")
