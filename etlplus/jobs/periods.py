"""
The pattern of a calendar schedule: every n days, weeks or months from an anchor, at one time of day.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime, time, timedelta

from etlplus.jobs.exclusions import WEEKDAYS
from etlplus.jobs.schedules import CalendarSchedule, Unit

_DAY = timedelta(days=1)


class Periods:
    """A pattern of wall times, asked like a ``Cron``."""

    every_hour = False

    def __init__(self, schedule: CalendarSchedule, anchor: date) -> None:
        self._every = schedule.every
        self._unit: Unit = schedule.unit
        self._time = time.fromisoformat(schedule.at)
        self._weekdays = sorted(map(WEEKDAYS.index, schedule.weekdays)) or [anchor.weekday()]
        self._day = schedule.day or anchor.day
        self._anchor = anchor

    def first_from(self, wall: datetime) -> datetime | None:
        """The first wall time of the pattern at ``wall`` or later."""
        day = wall.date() if wall.time() <= self._time else wall.date() + _DAY
        return datetime.combine(self._day_from(day), self._time)

    def _day_from(self, day: date) -> date:
        match self._unit:
            case "day":
                return day + _DAY * (-(day - self._anchor).days % self._every)
            case "week":
                return self._weekday_from(day)
            case "month":
                return self._month_day_from(day)

    def _weekday_from(self, day: date) -> date:
        """In a week that counts, its next chosen weekday; else the first one of the next week that counts."""
        first_monday, monday = _monday(self._anchor), _monday(day)
        wait = -((monday - first_monday).days // 7) % self._every
        if wait == 0:
            later = [weekday for weekday in self._weekdays if weekday >= day.weekday()]
            if later:
                return monday + _DAY * later[0]
            wait = self._every
        return monday + _DAY * (7 * wait + self._weekdays[0])

    def _month_day_from(self, day: date) -> date:
        month = day.year * 12 + day.month - 1
        month += (self._anchor.year * 12 + self._anchor.month - 1 - month) % self._every
        fit = self._in_month(month)
        return fit if fit >= day else self._in_month(month + self._every)

    def _in_month(self, number: int) -> date:
        year, month = number // 12, number % 12 + 1
        return date(year, month, min(self._day, monthrange(year, month)[1]))


def _monday(day: date) -> date:
    return day - _DAY * day.weekday()
