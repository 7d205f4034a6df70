"""
Listening in on an actor: what it handles, how long each message takes, and what it raises.

A tap wraps the handlers in the actor's table and puts the plain ones back when it is closed: the loop that uses the table is
the same all along, and pays nothing for taps that are not there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from .awaiting import finish
from .cell import Cell, Handler
from .errors import told

SEEN_MAX = 1024


class Seen(msgspec.Struct, frozen=True):
    """One message as a tap saw it.

    Attributes:
        at: When its handling began, on Trio's clock.
        message: The message itself.
        took_s: How long its handling took.
        error: What the handler raised; empty if nothing.
    """

    at: float
    message: Any
    took_s: float
    error: str


class Tap:
    """What was seen while the tap is open: ``with system.tap(name) as tap``. Only the newest 1,024 are kept."""

    def __init__(self, cell: Cell) -> None:
        self.seen: deque[Seen] = deque(maxlen=SEEN_MAX)
        self.total = 0
        self._cell = cell

    def __enter__(self) -> Tap:
        self._cell.wrap((*self._cell.wrappers, self._wrapped))
        return self

    def __exit__(self, *exc: object) -> None:
        self._cell.unwrap(self._wrapped)

    def _wrapped(self, handler: Handler) -> Callable[[Any], Awaitable[Any]]:
        async def tapped(message: Any) -> Any:
            began, error = trio.current_time(), ""
            try:
                return await finish(handler(message))
            except BaseException as raised:
                error = told(raised)
                raise
            finally:
                self.total += 1
                self.seen.append(Seen(began, message, trio.current_time() - began, error))

        return tapped
