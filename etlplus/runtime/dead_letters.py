"""
Messages that nobody handles: counted all, kept the newest, told to whoever wants to log them, but never in a flood.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from .asked import Asked
from .hooks import Hooks

KEPT_MAX = 256
TOLD_MAX = 10
MUTED_S = 300.0


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that its actor did not handle.

    Attributes:
        path: Where the actor stands in its tree.
        message: The message itself.
        why: ``stopped`` (told to an actor that is stopping or gone), ``undelivered`` (queued when it ended) or ``refused``
            (the handler refused a tell).
        at: When, on Trio's clock.
    """

    path: str
    message: Any
    why: str
    at: float


class DeadLetters:
    """The newest dead letters of a system, and how many there ever were.

    Args:
        hear: Told of each, but of ten within five minutes at most.
    """

    def __init__(self, hear: Callable[[DeadLetter], None], hooks: Hooks) -> None:
        self.newest: deque[DeadLetter] = deque(maxlen=KEPT_MAX)
        self.total = 0
        self._hear = hear
        self._hooks = hooks
        self._told: deque[float] = deque(maxlen=TOLD_MAX)

    def bury(self, path: str, item: Any, why: str) -> None:
        """Note that ``item``, a message or an ask, will not be handled."""
        message = item.message if isinstance(item, Asked) else item
        letter = DeadLetter(path, message, why, trio.current_time())
        self.total += 1
        self.newest.append(letter)
        if len(self._told) < TOLD_MAX or self._told[0] < letter.at - MUTED_S:
            self._told.append(letter.at)
            self._hooks.call(self._hear, letter)
