"""
Nominal times and their reasons: why something is due at a moment, or is not.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class Reason(StrEnum):
    """Why something is due at a moment, or is not."""

    NORMAL = "normal"
    SHIFTED_LATER = "shifted_later"
    SHIFTED_EARLIER = "shifted_earlier"
    FIRST_OF_TWO = "first_of_two"
    SECOND_OF_TWO = "second_of_two"
    GAP_SKIPPED = "gap_skipped"
    REPEAT_SKIPPED = "repeat_skipped"
    MERGED = "merged"
    EXCLUDED = "excluded"


MEANING: dict[Reason, str] = {
    Reason.NORMAL: "due at its wall time",
    Reason.SHIFTED_LATER: "its wall time never is; due at the change",
    Reason.SHIFTED_EARLIER: "its wall time never is; due the second before the change",
    Reason.FIRST_OF_TWO: "its wall time is twice; due the first time",
    Reason.SECOND_OF_TWO: "its wall time is twice; due the second time",
    Reason.GAP_SKIPPED: "not due: its wall time never is",
    Reason.REPEAT_SKIPPED: "not due: its wall time is twice, and the other time counts",
    Reason.MERGED: "not due by itself: falls together with another one",
    Reason.EXCLUDED: "not due on an excluded day",
}

DUE = frozenset(list(Reason)[:5])


class Occurrence(msgspec.Struct, frozen=True, omit_defaults=True):
    """One nominal time: the moment ``at`` in UTC, the ``wall`` time in the schedule's zone that means it, and the reason.

    When it is not due, ``at`` is where it would have been. ``note`` says what exactly the reason was.
    """

    at: datetime
    wall: datetime
    reason: Reason = Reason.NORMAL
    note: str = ""

    @property
    def due(self) -> bool:
        """Whether it is due at all."""
        return self.reason in DUE
