"""
Ids: UUIDv7 strings, growing within a process.

The clock and the randomness are passed in, so that a simulated day makes the same ids from the same seed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

_COUNTER_BITS = 12
_RANDOM_BITS = 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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
        stamp = _milliseconds(now) << _COUNTER_BITS
        self._last = max(stamp, self._last + 1)
        milliseconds, counter = divmod(self._last, 1 << _COUNTER_BITS)
        high = milliseconds << 16 | 0x7000 | counter
        return str(UUID(int=high << 64 | 0b10 << 62 | self._rng.getrandbits(_RANDOM_BITS)))


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND  # exact, as floats would not be


def first_id(moment: datetime) -> str:
    """What every id that is made at ``moment`` or later sorts behind, and every earlier one before."""
    digits = f"{_milliseconds(moment):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def is_id(text: str) -> bool:
    """Whether a text may be an id: it has the form of one."""
    return _FORM.fullmatch(text) is not None
