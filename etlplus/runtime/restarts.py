"""
Whether a child is started again, and when: pure decisions, with the time passed in.
"""

from __future__ import annotations

from collections import deque
from random import Random

from .specs import Backoff, Intensity

HISTORY_MAX = 5


class Budget:
    """Restarts within a sliding window of time."""

    def __init__(self, intensity: Intensity) -> None:
        self.intensity = intensity
        self._at: deque[float] = deque()

    def spend(self, now: float) -> bool:
        """Count one restart; False if it is one too many."""
        self._at.append(now)
        return self.left(now) >= 0

    def left(self, now: float) -> int:
        """How many more restarts the window has room for."""
        while self._at and self._at[0] < now - self.intensity.within_s:
            self._at.popleft()
        return self.intensity.restarts - len(self._at)

    def __str__(self) -> str:
        return f"more than {self.intensity.restarts} times in {self.intensity.within_s} s"


class Record:
    """How a child has been doing: its last crashes, and how many came in a row."""

    __slots__ = ("crashes", "in_a_row")

    def __init__(self) -> None:
        self.crashes: tuple[Exception, ...] = ()
        self.in_a_row = 0

    def note(self, crash: Exception, healthy_s: float, backoff: Backoff) -> None:
        """Note a crash after so many seconds of health (0 if the child did not even become ready)."""
        if healthy_s > backoff.reset_after_s:
            self.in_a_row = 0
        self.in_a_row += 1
        self.keep(crash)

    def keep(self, crash: Exception) -> None:
        """Remember a crash; only the last few are, since each keeps its traceback alive."""
        self.crashes = (*self.crashes, crash)[-HISTORY_MAX:]

    def wait_s(self, backoff: Backoff, rng: Random) -> float:
        """The backoff before the next start."""
        return backoff.wait_s(self.in_a_row, rng)

    def story(self) -> ExceptionGroup[Exception] | None:
        """The last crashes as one error."""
        return ExceptionGroup("its last crashes", list(self.crashes)) if self.crashes else None
