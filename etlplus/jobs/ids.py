"""
Ids: UUIDv7 strings, growing within a process.

The clock and the randomness are passed in, so that a simulated day makes the same ids from the same seed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from random import Random
from uuid import UUID

_COUNTER_BITS = 12
_RANDOM_BITS = 62


class Ids:
    """A source of ids. Two ids of one source compare as they were made; ids of two sources are told apart by chance.

    Source:
        RFC 9562, section 5.7 (UUIDv7), method 1 of section 6.2 (a counter next to the milliseconds).
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._last = -1

    def new(self, now: datetime) -> str:
        """The next id, stamped with ``now`` (or a little later, when more than 4,096 are made in a millisecond)."""
        stamp = int(now.timestamp() * 1000) << _COUNTER_BITS
        self._last = max(stamp, self._last + 1)
        milliseconds, counter = divmod(self._last, 1 << _COUNTER_BITS)
        high = milliseconds << 16 | 0x7000 | counter
        return str(UUID(int=high << 64 | 0b10 << 62 | self._rng.getrandbits(_RANDOM_BITS)))


NewId = Callable[[datetime], str]
