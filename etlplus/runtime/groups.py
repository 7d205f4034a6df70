"""
Exception groups, as nurseries make them: telling the lone error from the several.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import trio


def lone(error: BaseException, depth_max: int = sys.maxsize) -> BaseException:
    """The one error inside of groups of one, however deep unless told; anything else as it is."""
    for _ in range(depth_max):
        if not isinstance(error, BaseExceptionGroup):
            break
        inner: list[BaseException] = list(error.exceptions)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType] - a narrowed group knows no type
        if len(inner) != 1:
            return error  # pyright: ignore[reportUnknownVariableType] - as above
        error = inner[0]
    return error


@contextmanager
def unwrapped(nurseries: int = sys.maxsize) -> Generator[None]:
    """Around so many nested nurseries: an error that comes out of them alone comes out of here as it was raised.

    It keeps its cause and its context. Where the number is known, a group that the code within made on its own stays a group.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        error = lone(group, nurseries)
        context = error.__context__
        try:
            raise error
        finally:
            error.__context__ = context  # and not the group that it came in


def split_cancelled(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """The cancelled part and the rest of what a task raised; groups of one are unwrapped."""
    if isinstance(error, trio.Cancelled):
        return error, None
    if not isinstance(error, BaseExceptionGroup):
        return None, error
    group: BaseExceptionGroup[Any] = error  # pyright: ignore[reportUnknownVariableType] - a narrowed group knows no type
    cancelled, rest = group.split(trio.Cancelled)
    return cancelled, lone(rest) if rest is not None else None
