"""
Messages: frozen structs, addressed by a tag type, and handled by ordinary methods.

``Tell[To]`` expects nothing back, ``Ask[To, R]`` expects an ``R``. The tag ``To`` stands for a protocol: clients import tags
and messages, never the actor's class, and a type checker refuses a message for another tag or a handler of another reply.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Self, TypeVar

import msgspec

To = TypeVar("To", contravariant=True)
R = TypeVar("R", covariant=True)
A = TypeVar("A")

HANDLES = "__handles_message__"


class MessageMeta(msgspec.StructMeta):
    """Makes messages frozen and untracked by the garbage collector: they hold no cycles."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> MessageMeta:
        options.setdefault("frozen", True)
        options.setdefault("gc", False)
        return super().__new__(mcs, name, bases, namespace, **options)  # type: ignore[no-any-return]  # the metaclass is untyped


class Tell(msgspec.Struct, Generic[To], metaclass=MessageMeta):
    """A message that expects no answer."""

    @classmethod
    def handler(
        cls, method: Callable[[A, Self], Awaitable[None] | None]
    ) -> Callable[[A, Self], Awaitable[None] | None]:
        """Mark the method that handles this message; it may be sync or async."""
        setattr(method, HANDLES, cls)
        return method


class Ask(msgspec.Struct, Generic[To, R], metaclass=MessageMeta):
    """A message that expects an answer of type ``R``."""

    @classmethod
    def handler(cls, method: Callable[[A, Self], Awaitable[R] | R]) -> Callable[[A, Self], Awaitable[R] | R]:
        """Mark the method that answers this message; it may be sync or async."""
        setattr(method, HANDLES, cls)
        return method
