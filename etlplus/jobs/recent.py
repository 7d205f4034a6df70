"""
A memory of bounded size: what was not used for longest is forgotten first.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Things by a text, at most ``at_most`` of them."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._things: dict[str, T] = {}

    def get(self, key: str) -> T | None:
        """What is remembered; it counts as used."""
        if (thing := self._things.pop(key, None)) is not None:
            self._things[key] = thing
        return thing

    def put(self, key: str, thing: T) -> T:
        """Remember a thing, instead of what was remembered before."""
        self._things.pop(key, None)
        self._things[key] = thing
        if len(self._things) > self._at_most:
            del self._things[next(iter(self._things))]
        return thing
