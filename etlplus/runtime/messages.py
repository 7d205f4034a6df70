"""
Messages: frozen structs, addressed by a tag type, and handled by ordinary methods.

``Tell[To]`` expects nothing back, ``Ask[To, R]`` expects an ``R``. The tag ``To`` stands for a protocol: clients import tags
and messages, never the actor's class, and a type checker refuses a message for another tag or a handler of another reply.
What it cannot see is checked when an actor starts: each message of the tag has exactly one handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from typing import Any, Generic, Self, TypeVar, get_args, get_origin

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


def handlers_of(actor: object) -> dict[type, Callable[[Any], Any]]:
    """
    The bound handlers of an actor, by the exact type of message.

    Raises:
        TypeError: a message has two handlers, or a message that is addressed to the actor's tag has none.
    """
    return {message: getattr(actor, name) for message, name in _handler_names(type(actor)).items()}


@lru_cache(maxsize=1024)
def _handler_names(kind: type) -> dict[type, str]:
    """What ``handlers_of`` needs to know of a class, found out at the first start of an actor of it."""
    names: dict[type, str] = {}
    for name in dir(kind):
        message: type[Any] | None = getattr(getattr(kind, name, None), HANDLES, None)
        if message is not None:
            if message in names:
                raise TypeError(f"{kind.__name__} has two handlers for {message.__name__}")
            names[message] = name
    tag = _tag_of(kind)
    if missing := sorted(each.__name__ for each in _messages_to(tag) - names.keys()):
        raise TypeError(f"{kind.__name__} has no handler for {', '.join(missing)}, addressed to {tag.__name__}")
    return names


def _tag_of(kind: type) -> Any:
    """What stands in the brackets of ``Actor[…]``, ``Tell[…]`` or ``Ask[…]`` at the head of a class; None if nothing does."""
    for each in kind.__mro__:
        for base in each.__dict__.get("__orig_bases__", ()):
            arguments = get_args(base)
            if arguments and get_origin(base) is not Generic and isinstance(arguments[0], type):
                return arguments[0]
    return None


def _messages_to(tag: Any) -> set[type]:
    """Every message class that is addressed to exactly this tag."""
    return {each for root in (Tell, Ask) for each in _below(root) if tag is not None and _tag_of(each) is tag}


def _below(root: type) -> Iterator[type]:
    for each in root.__subclasses__():
        yield each
        yield from _below(each)
