"""
Cron as people write it: five fields, or six with seconds in front, or a nickname such as @daily.

    minute  hour  day of month  month  day of week          0 2 * * mon-fri

Lists (1,15), ranges (9-17), steps (*/10, 9-17/2, 5/15: from 5 on), names (jan, mon), Sunday as 0 or 7. For days of the
month also L (the last), L-3 (three before it), 15W (the working day nearest to the 15th), LW; for weekdays 5L or friL (the
last Friday) and 1#2 or mon#2 (the second Monday). ``?`` says the same as ``*`` in the two day fields.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, NoReturn

from etlplus.jobs.cron import Cron
from etlplus.jobs.cron_days import ALL_DAYS, ALL_WEEKDAYS, DayRules
from etlplus.jobs.refusal import BadSchedule

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class _Field(NamedTuple):
    """A field: the numbers it may hold, the names for them, and what else is accepted in it."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    special: str = ""

    @property
    def size(self) -> int:
        """After so many steps it comes round. A week has seven days although Sunday is 0 and 7."""
        return 7 if self.name == "day of week" else self.high - self.low + 1

    @property
    def accepted(self) -> str:
        names = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"{self.low}-{self.high}{names}, *, lists 1,2, ranges 1-5, steps */2{self.special}"


_SECOND = _Field("second", 0, 59)
_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of month", 1, 31, special=", L, L-3, 15W, LW")
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("day of week", 0, 7, _WEEKDAYS, special=", 5L, 1#2")

_FIVE = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)


class _Word(NamedTuple):
    """A part of the text: what it says, its field, and where it starts, counted from 0."""

    text: str
    field: _Field
    number: int
    start: int

    def part(self, text: str, offset: int) -> _Word:
        return _Word(text, self.field, self.number, self.start + offset)

    def split(self, sign: str) -> list[_Word]:
        parts: list[_Word] = []
        offset = 0
        for text in self.text.split(sign):
            parts.append(self.part(text, offset))
            offset += len(text) + 1
        return parts

    def refuse(self, message: str, accepted: str | None = None) -> NoReturn:
        place = f"field {self.number} ({self.field.name}), character {self.start + 1}"
        raise BadSchedule("cron", f"{place}: {message}", accepted or self.field.accepted)


@lru_cache(maxsize=4096)
def parse(text: str) -> Cron:
    """
    The pattern that a text describes.

    Raises:
        BadSchedule: it describes none, or one that never comes; the error names field, character and what is accepted.
    """
    words = _words(text)
    *times, day, month, weekday = words
    seconds, minutes, hours = [_bits(word) for word in times] if len(times) == 3 else [1, *map(_bits, times)]
    cron = Cron(seconds, minutes, hours, _bits(month), _day_rules(day, weekday))
    if not cron.ever():
        day.refuse(
            f"no month in {month.text!r} ever has a day that {day.text!r} and {weekday.text!r} mean",
            "days that exist in one of the months",
        )
    return cron


def _words(text: str) -> list[_Word]:
    """The text cut into its fields; a nickname stands for its five."""
    meant = NICKNAMES.get(text.strip().lower(), text) if text.strip().startswith("@") else text
    found = list(re.finditer(r"\S+", meant))
    if len(found) not in {5, 6} or meant.lstrip().startswith("@"):
        nicknames = ", ".join(NICKNAMES)
        fields = "minute hour day-of-month month day-of-week, with second in front or without"
        raise BadSchedule("cron", f"{text!r} has {len(found)} field(s)", f"5 or 6 fields ({fields}), or {nicknames}")
    fields = _FIVE if len(found) == 5 else (_SECOND, *_FIVE)
    return [
        _Word(match.group(), field, number, match.start())
        for number, (match, field) in enumerate(zip(found, fields, strict=True), start=1)
    ]


def _bits(word: _Word) -> int:
    bits = 0
    for term in word.split(","):
        bits |= _term(term)
    return bits


def _term(term: _Word) -> int:
    """One member of a list: a value, a range or a star, perhaps with a step."""
    base, *steps = term.split("/")
    if len(steps) > 1:
        steps[1].refuse("a second step")
    low, high = _ends(base)
    if not steps:
        return _run(low, high if high is not None else low, 1)
    return _run(low, high if high is not None else term.field.high, _step(steps[0]))


def _ends(base: _Word) -> tuple[int, int | None]:
    """The first and last value of a range or a star; for a single value there is no last."""
    field = base.field
    if base.text == "*" or (base.text == "?" and field in {_DAY, _WEEKDAY}):
        return field.low, field.high
    first, *rest = base.split("-")
    if not rest:
        return _value(first), None
    if len(rest) > 1 or not first.text:
        base.refuse(f"{base.text!r} is no range")
    low, high = _value(first), _value(rest[0])
    if high < low:
        base.refuse(
            f"the range {base.text!r} runs backwards",
            f"two ranges, {low}-{field.high},{field.low}-{high}, if that is meant",
        )
    return low, high


def _run(low: int, high: int, step: int) -> int:
    return sum(1 << value for value in range(low, high + 1, step))


def _step(word: _Word) -> int:
    if not _is_number(word.text) or not 1 <= int(word.text) <= word.field.size:
        longer = "; for a longer beat use an interval" if word.field in {_SECOND, _MINUTE, _HOUR} else ""
        word.refuse(f"{word.text!r} is no step", f"1-{word.field.size}{longer}")
    return int(word.text)


def _value(word: _Word) -> int:
    """A number or a name of the field."""
    field = word.field
    if word.text.lower() in field.names:
        return field.names.index(word.text.lower()) + field.low
    if not word.text:
        word.refuse("a value is missing")
    if not _is_number(word.text):
        word.refuse(f"{word.text!r} is no value")
    if not field.low <= int(word.text) <= field.high:
        word.refuse(f"{word.text} is not between {field.low} and {field.high}")
    return int(word.text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _day_rules(day: _Word, weekday: _Word) -> DayRules:
    """Both day fields. Vixie's cron calls a field that starts with a star unrestricted, whatever follows."""
    month_days, from_end, nearest = _month_days(day)
    weekdays, nth, last = _weekdays(weekday)
    return DayRules(
        month_days=month_days & ALL_DAYS,
        from_end=from_end,
        nearest=nearest,
        last_working_day=any(term.text.upper() == "LW" for term in day.split(",")),
        weekdays=(weekdays | weekdays >> 7) & ALL_WEEKDAYS,
        nth=nth,
        last=last,
        either=not day.text.startswith(("*", "?")) and not weekday.text.startswith(("*", "?")),
    )


def _month_days(word: _Word) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    bits = 0
    from_end: list[int] = []
    nearest: list[int] = []
    for term in word.split(","):
        text = term.text.upper()
        if text == "L":
            from_end.append(0)
        elif text.startswith("L-"):
            from_end.append(_back(term.part(term.text[2:], 2)))
        elif text.endswith("W") and text != "LW":
            nearest.append(_value(term.part(term.text[:-1], 0)))
        elif text != "LW":
            bits |= _term(term)
    return bits, tuple(from_end), tuple(nearest)


def _back(word: _Word) -> int:
    if not _is_number(word.text) or not 1 <= int(word.text) <= 30:
        word.refuse(f"{word.text!r} is no number of days before the last", "L-1 to L-30")
    return int(word.text)


def _weekdays(word: _Word) -> tuple[int, tuple[tuple[int, int], ...], tuple[int, ...]]:
    bits = 0
    nth: list[tuple[int, int]] = []
    last: list[int] = []
    for term in word.split(","):
        if "#" in term.text:
            weekday, *order = term.split("#")
            if len(order) != 1 or order[0].text not in {"1", "2", "3", "4", "5"}:
                order[0].refuse(f"{term.text!r} counts no weekday of a month", "#1 to #5")
            nth.append((_value(weekday) % 7, int(order[0].text)))
        elif term.text.upper().endswith("L"):
            if len(term.text) == 1:
                term.refuse("L alone names no weekday", "5L or friL for the last Friday of the month")
            last.append(_value(term.part(term.text[:-1], 0)) % 7)
        else:
            bits |= _term(term)
    return bits, tuple(nth), tuple(last)
