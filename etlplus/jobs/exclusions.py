"""
Days on which nothing is due: as people write them, and made ready for many questions.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from etlplus.jobs.refusal import BadSchedule, check_year

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)

_DAY = timedelta(days=1)


class DateRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Days from ``first_on`` to ``last_on``, both included."""

    first_on: Annotated[date, Meta(description="The first day.")]
    last_on: Annotated[date, Meta(description="The last day.")]

    def __post_init__(self) -> None:
        for option, day in (("first_on", self.first_on), ("last_on", self.last_on)):
            check_year(option, day)
        if self.last_on < self.first_on:
            raise BadSchedule("last_on", f"{self.last_on} is before first_on", f"{self.first_on} or later")


class Exclusions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Days on which nothing is due. A nominal time belongs to the day that its wall time names, in the schedule's zone."""

    weekdays: Annotated[
        tuple[Weekday, ...], Meta(max_length=6, description="Weekdays on which nothing is due.", examples=[["sunday"]])
    ] = ()
    dates: Annotated[
        tuple[date, ...], Meta(max_length=1000, description="Days on which nothing is due, such as public holidays.")
    ] = ()
    ranges: Annotated[
        tuple[DateRange, ...], Meta(max_length=200, description="Stretches of days on which nothing is due.")
    ] = ()

    def __post_init__(self) -> None:
        if len(set(self.weekdays)) == 7:
            raise BadSchedule("weekdays", "all seven are excluded", "up to six weekdays")


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
