"""
One page of a list, of whatever.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list; ``next_cursor`` is given while there is more."""

    items: list[T]
    next_cursor: str | None = None
