"""
Cron: the pattern of wall times that five fields (or six, with seconds in front) describe.

Written fields become sets of bits in ``cron_text``; here they are asked for the next wall time, which takes some
microseconds however far away it is. A pattern knows no zone: what becomes of a wall time that never is, or is twice, is
decided in ``wall_clock``.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime, timedelta
from functools import lru_cache

from etlplus.jobs.cron_days import ALL_DAYS, ALL_WEEKDAYS, DayRules

SEARCHED_YEAR = 2300
"""Nothing is due after it: an end for every search."""

_SECOND = timedelta(seconds=1)


def next_bit(bits: int, start: int) -> int:
    """The first bit that is set at ``start`` or above; -1 if none is."""
    rest = bits >> start
    return start + (rest & -rest).bit_length() - 1 if rest else -1


class Cron:
    """One pattern: its fields as bits, and the days of each kind of month as they are asked for."""

    def __init__(self, seconds: int, minutes: int, hours: int, months: int, days: DayRules) -> None:
        self._seconds = seconds
        self._minutes = minutes
        self._hours = hours
        self._months = months
        self._rules = days
        self._days: dict[tuple[int, int], int] = {}

    @property
    def every_hour(self) -> bool:
        """Whether the pattern names no hours: it means elapsed time, not a time of day."""
        return self._hours == (1 << 24) - 1

    def ever(self, weekdays: int = ALL_WEEKDAYS) -> bool:
        """Whether there is any kind of month in which a day fits that is one of the weekdays."""
        lengths = {length for month in range(1, 13) if self._months >> month & 1 for length in _LENGTHS[month]}
        kinds = [(length, first_weekday) for length in lengths for first_weekday in range(7)]
        return any(self._days_of_kind(kind) & _days_on(weekdays, *kind) for kind in kinds)

    def first_from(self, wall: datetime) -> datetime | None:
        """The first wall time of the pattern at ``wall`` or later; None after the last year."""
        if wall.microsecond:
            wall = wall.replace(microsecond=0) + _SECOND
        if self._months >> wall.month & 1 and self._days_of(wall.year, wall.month) >> wall.day & 1:
            later = self._time_from(wall)
            if later is not None:
                return later
        day = self._day_from(wall.year, wall.month, wall.day + 1)
        if day is None:
            return None
        hour, minute, second = (next_bit(bits, 0) for bits in (self._hours, self._minutes, self._seconds))
        return day.replace(hour=hour, minute=minute, second=second)

    def _time_from(self, wall: datetime) -> datetime | None:
        """The first time of the same day, at ``wall`` or later."""
        hour, minute, second = wall.hour, wall.minute, wall.second
        if self._hours >> hour & 1:
            if self._minutes >> minute & 1 and (fit := next_bit(self._seconds, second)) >= 0:
                return wall.replace(second=fit)
            if (fit := next_bit(self._minutes, minute + 1)) >= 0:
                return wall.replace(minute=fit, second=next_bit(self._seconds, 0))
        if (fit := next_bit(self._hours, hour + 1)) >= 0:
            return wall.replace(hour=fit, minute=next_bit(self._minutes, 0), second=next_bit(self._seconds, 0))
        return None

    def _day_from(self, year: int, month: int, day: int) -> datetime | None:
        """Midnight of the first day that fits, from one on; ``day`` may lie just behind the end of its month."""
        while year <= SEARCHED_YEAR:
            if self._months >> month & 1 and (fit := next_bit(self._days_of(year, month), day)) > 0:
                return datetime(year, month, fit)  # noqa: DTZ001 - a wall time
            day = 1
            month = next_bit(self._months, month + 1)
            if month < 0:
                year, month = year + 1, next_bit(self._months, 1)
        return None

    def _days_of(self, year: int, month: int) -> int:
        monday_first, length = monthrange(year, month)
        return self._days_of_kind((length, (monday_first + 1) % 7))

    def _days_of_kind(self, kind: tuple[int, int]) -> int:
        days = self._days.get(kind)
        if days is None:
            days = self._days[kind] = self._rules.days(*kind)
        return days


@lru_cache(maxsize=1024)
def _days_on(weekdays: int, length: int, first_weekday: int) -> int:
    return DayRules(month_days=ALL_DAYS, weekdays=weekdays).days(length, first_weekday)


_LENGTHS = {month: (28, 29) if month == 2 else (30,) if month in {4, 6, 9, 11} else (31,) for month in range(1, 13)}
