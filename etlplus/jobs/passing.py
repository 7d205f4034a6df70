"""
What is passed over: nominal times at which no run is made, as stretches with a cause.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

import msgspec

from etlplus.jobs.occurrences import latest, next_occurrence, occurrences
from etlplus.jobs.schedules import Schedule

COUNT_MAX = 1000
"""Nominal times that were passed over are counted up to here, so that an outage costs no more the longer it was."""

_TICK = timedelta(microseconds=1)


class Passing(StrEnum):
    """Why no run was made at a nominal time."""

    COALESCED = "coalesced"
    """One run makes up for several nominal times; this is one of the others."""
    MISSED = "missed"
    """It passed while nothing ticked, and the misfire rule does not make up for it."""
    OVERLAP = "overlap"
    """A run of the schedule was unfinished, and the overlap rule makes no other."""
    DRAINING = "draining"
    """The job's queue took no new runs."""
    PAUSED = "paused"
    """The job was paused."""


class Passed(msgspec.Struct, frozen=True):
    """A stretch of nominal times without runs, both ends included, for one cause; an outage is one of these.

    ``count`` is exact up to ``COUNT_MAX``, which means so many or more.
    """

    first_at: datetime
    last_at: datetime
    count: int
    cause: Passing


def stretch(schedule: Schedule, saved_at: datetime, first_at: datetime, last_at: datetime, cause: Passing) -> Passed:
    """The stretch between two nominal times."""
    count = 0
    for occurrence in islice(occurrences(schedule, saved_at, first_at - _TICK), COUNT_MAX):
        if occurrence.at > last_at:
            break
        count += 1
    return Passed(first_at, last_at, count, cause)


def passed_over(
    schedule: Schedule, saved_at: datetime, after: datetime, until: datetime, cause: Passing
) -> Passed | None:
    """All nominal times in (after, until], without runs; None if there are none."""
    first = next_occurrence(schedule, saved_at, after)
    if first is None or first.at > until:
        return None
    (last,) = latest(schedule, saved_at, after, until, 1)
    return stretch(schedule, saved_at, first.at, last.at, cause)
