"""
Days on which nothing is due.
"""

from __future__ import annotations

from datetime import date, timedelta

from etlplus.jobs.schedules import Exclusions

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = timedelta(days=1)


class ExcludedDays:
    """The days of an exclusion calendar, made ready for many questions."""

    def __init__(self, exclude: Exclusions) -> None:
        self._weekdays = frozenset(map(WEEKDAYS.index, exclude.weekdays))
        self._dates = frozenset(exclude.dates)
        self._ranges = exclude.ranges

    def why(self, day: date) -> str | None:
        """What excludes a day; None if nothing does."""
        if day.weekday() in self._weekdays:
            return f"{WEEKDAYS[day.weekday()]}s are excluded"
        if day in self._dates:
            return f"{day} is excluded"
        for stretch in self._ranges:
            if stretch.first_on <= day <= stretch.last_on:
                return f"{stretch.first_on} to {stretch.last_on} is excluded"
        return None

    def free_from(self, day: date) -> date:
        """The first day at or after one that nothing excludes. A stretch of days is passed in one step."""
        while self.why(day) is not None:
            lasts = [stretch.last_on for stretch in self._ranges if stretch.first_on <= day <= stretch.last_on]
            day = max(lasts, default=day) + _DAY
        return day
