"""
Exception groups, as nurseries make them: telling the lone error from the several.
"""

from __future__ import annotations

from typing import Any

import trio


def lone(error: BaseException) -> BaseException:
    """The one error inside of groups of one, however deep; anything else as it is."""
    while isinstance(error, BaseExceptionGroup):
        inner: list[BaseException] = list(error.exceptions)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType] - a narrowed group knows no type
        if len(inner) != 1:
            return error  # pyright: ignore[reportUnknownVariableType] - as above
        error = inner[0]
    return error


def split_cancelled(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """The cancelled part and the rest of what a task raised; groups of one are unwrapped."""
    if isinstance(error, trio.Cancelled):
        return error, None
    if not isinstance(error, BaseExceptionGroup):
        return None, error
    group: BaseExceptionGroup[Any] = error  # pyright: ignore[reportUnknownVariableType] - a narrowed group knows no type
    cancelled, rest = group.split(trio.Cancelled)
    return cancelled, lone(rest) if rest is not None else None
