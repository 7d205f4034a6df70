"""
When a schedule is due: pure arithmetic on times that are passed in.
"""

from __future__ import annotations

import math
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
    start = schedule.start_at or saved_at + timedelta(seconds=schedule.every_s)
    if moment < start:
        return start
    passed = math.floor((moment - start).total_seconds() / schedule.every_s)
    return start + timedelta(seconds=schedule.every_s * (passed + 1))
