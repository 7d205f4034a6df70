"""
Which runs a backfill makes: a window of time cut where a schedule is due, a limited number of pieces at a time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise, takewhile

import msgspec

from etlplus.jobs.occurrences import latest, occurrences
from etlplus.jobs.schedules import Schedule

_TICK = timedelta(microseconds=1)


class DataInterval(msgspec.Struct, frozen=True):
    """The stretch of data that a run is for: from ``start_at`` on, up to but without ``end_at``."""

    start_at: datetime
    end_at: datetime


class BackfillPlan(msgspec.Struct, frozen=True):
    """The next pieces of a backfill, in the order in which they are to run, and what is left of its window."""

    intervals: tuple[DataInterval, ...]
    rest: DataInterval | None


def plan_backfill(
    schedule: Schedule, window: DataInterval, *, saved_at: datetime, budget: int, newest_first: bool = False
) -> BackfillPlan:
    """
    Cut the next pieces off a window.

    Each moment of the window belongs to one piece: pieces begin and end at nominal times, but for the ends of the window
    itself. To go on, the rest is planned as the next window.

    Args:
        schedule: Where to cut; days that it excludes belong to the piece before.
        window: What is to be filled.
        saved_at: Where counting starts when an interval or a calendar names no start.
        budget: How many pieces at most.
        newest_first: Whether to begin at the end of the window.

    Raises:
        ValueError: the window is empty, or the budget below 1.
    """
    if window.end_at <= window.start_at:
        raise ValueError(f"a window ends after it starts, and {window.end_at} is not after {window.start_at}")
    if budget < 1:
        raise ValueError(f"a budget of {budget} fills nothing")
    if newest_first:
        cuts = _newest(schedule, window, saved_at, budget)
        return BackfillPlan(_pieces(cuts)[::-1], _stretch(window.start_at, cuts[0]))
    cuts = _oldest(schedule, window, saved_at, budget)
    return BackfillPlan(_pieces(cuts), _stretch(cuts[-1], window.end_at))


def _oldest(schedule: Schedule, window: DataInterval, saved_at: datetime, budget: int) -> list[datetime]:
    """Where the first pieces begin and end."""
    walk = takewhile(lambda each: each.at < window.end_at, occurrences(schedule, saved_at, window.start_at))
    found = [each.at for each in islice(walk, budget)]
    return [window.start_at, *found] if len(found) == budget else [window.start_at, *found, window.end_at]


def _newest(schedule: Schedule, window: DataInterval, saved_at: datetime, budget: int) -> list[datetime]:
    """Where the last pieces begin and end."""
    found = [each.at for each in latest(schedule, saved_at, window.start_at, window.end_at - _TICK, budget)]
    return [*found, window.end_at] if len(found) == budget else [window.start_at, *found, window.end_at]


def _pieces(cuts: list[datetime]) -> tuple[DataInterval, ...]:
    return tuple(DataInterval(start, end) for start, end in pairwise(cuts))


def _stretch(start: datetime, end: datetime) -> DataInterval | None:
    return DataInterval(start, end) if start < end else None
