"""
Which days of a month a cron names: by number, from the end, nearest working day, weekday, nth or last weekday.

A month is known by its length and the weekday of its first day, so there are 28 kinds of month, and that is all a rule
has to be asked. Days are bits of a whole number: bit 1 is the first of the month. Weekdays count from Sunday, 0.
"""

from __future__ import annotations

import msgspec

SUNDAY, SATURDAY = 0, 6
ALL_DAYS = (1 << 32) - 2
ALL_WEEKDAYS = (1 << 7) - 1


class DayRules(msgspec.Struct, frozen=True):
    """The two day fields of a cron.

    ``either`` is Vixie's rule: when neither field starts with a star, a day that fits one of the two is enough; else it
    has to fit both.
    """

    month_days: int = 0
    from_end: tuple[int, ...] = ()
    nearest: tuple[int, ...] = ()
    last_working_day: bool = False
    weekdays: int = 0
    nth: tuple[tuple[int, int], ...] = ()
    last: tuple[int, ...] = ()
    either: bool = False

    def days(self, length: int, first_weekday: int) -> int:
        """The days of one kind of month."""
        by_number = self._by_number(length, first_weekday)
        by_weekday = self._by_weekday(length, first_weekday)
        chosen = by_number | by_weekday if self.either else by_number & by_weekday
        return chosen & ((1 << (length + 1)) - 2)

    def _by_number(self, length: int, first_weekday: int) -> int:
        days = self.month_days
        for back in self.from_end:
            days |= 1 << max(length - back, 0)
        for day in self.nearest:
            if day <= length:
                days |= 1 << _working_day(day, length, first_weekday)
        if self.last_working_day:
            days |= 1 << _working_day(length, length, first_weekday)
        return days

    def _by_weekday(self, length: int, first_weekday: int) -> int:
        days = 0
        for day in range(1, length + 1):
            weekday = (first_weekday + day - 1) % 7
            in_order = (weekday, (day + 6) // 7) in self.nth
            if self.weekdays >> weekday & 1 or in_order or (weekday in self.last and day + 7 > length):
                days |= 1 << day
        return days


def _working_day(day: int, length: int, first_weekday: int) -> int:
    """The day from Monday to Friday nearest to one, without leaving the month."""
    weekday = (first_weekday + day - 1) % 7
    if weekday == SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == SUNDAY:
        return day + 1 if day < length else day - 2
    return day
