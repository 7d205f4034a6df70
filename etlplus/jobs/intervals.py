"""
Which stretch of data a run of a schedule is for: from one nominal time to the next, without a gap.
"""

from __future__ import annotations

from datetime import datetime

from etlplus.jobs.occurrences import previous_occurrence
from etlplus.jobs.passing import Passing
from etlplus.jobs.schedule import Decision
from etlplus.jobs.schedules import OnceSchedule, Schedule

Interval = tuple[datetime, datetime]
"""From a moment on, up to but without another."""


def data_intervals(schedule: Schedule, saved_at: datetime, decision: Decision) -> list[Interval | None]:
    """
    The intervals of the runs that are to be made, in their order.

    Each ends at the run's nominal time and begins at the one before; of a run that makes up for others, at the one before
    the first of these. Where a schedule begins, the interval begins when the job was saved. None for what comes once.
    """
    if not decision.fired or isinstance(schedule, OnceSchedule):
        return [None] * len(decision.fired)
    first_at = decision.fired[0].nominal_at
    made_up = next((each.first_at for each in decision.passed if each.cause is Passing.COALESCED), first_at)
    beat = decision.next_at - decision.fired[-1].nominal_at if decision.next_at else None
    before = previous_occurrence(schedule, saved_at, made_up, beat)
    start_at = before.at if before else min(saved_at, made_up)
    ends = [each.nominal_at for each in decision.fired]
    return list(zip([start_at, *ends[:-1]], ends, strict=True))
