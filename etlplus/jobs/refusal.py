"""
How things are refused: by what names the place, and what would be accepted.
"""

from __future__ import annotations

from datetime import date

import msgspec

TOLD_MAX = 20
"""Of what cannot be accepted, so much is told: ten thousand mistakes are not worth ten thousand sentences."""
FIRST_YEAR, LAST_YEAR = 1970, 2199
"""Every day and moment that a schedule names has to lie in these years or between them."""


class Refusal(msgspec.Struct, frozen=True):
    """Why something is not accepted: a sentence, the place as a JSON pointer, a stable code, and what would be accepted."""

    message: str
    pointer: str
    code: str
    accepted: str


class BadSchedule(ValueError):
    """A schedule that cannot be used. Raised while a document is decoded, it becomes that document's error.

    Attributes:
        option: Which option is wrong.
        message: What is wrong with it, and where in it.
        accepted: What would be accepted.
    """

    def __init__(self, option: str, message: str, accepted: str) -> None:
        super().__init__(f"{option}: {message} (accepted: {accepted})")
        self.option = option
        self.message = message
        self.accepted = accepted


def check_year(option: str, moment: date | None) -> None:
    """Refuse a day or a moment that is too far away to be meant."""
    if moment is not None and not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise BadSchedule(option, f"{moment.isoformat()} is too far away", f"a year from {FIRST_YEAR} to {LAST_YEAR}")
