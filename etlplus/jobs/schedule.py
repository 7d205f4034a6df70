"""
When a schedule is due: pure arithmetic on times that are passed in.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from etlplus.jobs.model import IntervalSchedule


def next_after(schedule: IntervalSchedule, saved_at: datetime, moment: datetime) -> datetime:
    """
    The first nominal time strictly after ``moment``.

    Args:
        schedule: Every ``every_s`` seconds from ``start_at``.
        saved_at: Where counting starts when the schedule names no start; its first time is one interval later.
        moment: The time after which to look.
    """
    # Whole microseconds: in floats, a nominal time may come out as not after itself, and would be made twice.
    every = timedelta(microseconds=round(schedule.every_s * 1_000_000))
    start = schedule.start_at or saved_at + every
    if moment < start:
        return start
    return start + every * ((moment - start) // every + 1)
