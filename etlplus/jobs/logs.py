"""
What an attempt writes while it works: lines, in order, up to a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from etlplus.jobs.texts import plain

LINE_CHARS_MAX = 10_000
"""A longer line is cut, and says so."""
LOG_BYTES_MAX = 4_000_000
"""Of one attempt. What comes after is counted, not kept: the beginning and the counts are what people need."""
_CUT = " … (cut)"


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line. ``number`` counts the lines of the attempt from 1, in the order in which they were written; a line that was
    dropped has a number all the same, so a gap shows where.
    """

    number: int
    at: datetime
    level: str
    text: str


class NewLine(msgspec.Struct, frozen=True):
    """A line to append. It stands for ``skipped`` lines before it, too, which were lost on the way; they have their numbers."""

    at: datetime
    text: str
    level: str = "info"
    skipped: int = 0


class LogState(msgspec.Struct, frozen=True):
    """How far the log of an attempt is: lines so far (dropped ones included), bytes kept, lines dropped."""

    lines: int = 0
    kept_bytes: int = 0
    dropped: int = 0


def fitted(lines: Sequence[NewLine], state: LogState) -> tuple[list[LogLine], LogState]:
    """
    What of new lines is kept, and how far the log is then.

    As soon as one line does not fit, it and all later ones are dropped, so that what is kept is a beginning without holes.
    A NUL character and half of a surrogate pair, which no store of text keeps, are shown as something else.
    """
    kept: list[LogLine] = []
    number, size, dropped = state.lines, state.kept_bytes, state.dropped
    for line in lines:
        number += 1 + line.skipped
        text = plain(line.text)
        if len(text) > LINE_CHARS_MAX:
            text = text[: LINE_CHARS_MAX - len(_CUT)] + _CUT
        grown = size + len(text.encode())
        if dropped or grown > LOG_BYTES_MAX:
            dropped += 1 + line.skipped
        else:
            size = grown
            kept.append(LogLine(number=number, at=line.at, level=line.level, text=text))
    return kept, LogState(number, size, dropped)
