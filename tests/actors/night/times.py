"""
Virtual time: it stands still while anything can run, and jumps to the next deadline when all wait.

Trio's own clock for tests does the same in two rounds of its loop for each jump, and a night has thousands of jumps.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import trio

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class JumpingClock(trio.abc.Clock):
    """See the module."""

    def __init__(self) -> None:
        self._now = 0.0

    def start_clock(self) -> None:
        """Time begins at zero, whenever that is."""

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if deadline < math.inf:
            self._now = max(self._now, deadline)
            return 0
        return math.inf  # Trio itself has something to tell its loop, at the beginning and at the end


def virtual_time(at_s: float) -> datetime:
    """What a clock that is right shows after so many seconds."""
    return EPOCH + timedelta(seconds=at_s)


def virtual_now() -> datetime:
    """What it shows now."""
    return virtual_time(trio.current_time())
