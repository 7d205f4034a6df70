"""
The words of a cron: its fields, what may stand in them, and how values, ranges, stars and steps are read.

Every part of the text knows its field and its place, so that a refusal can name them.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from etlplus.jobs.refusal import BadSchedule

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class Field(NamedTuple):
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
        """What may stand in it, for a refusal."""
        names = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"{self.low}-{self.high}{names}, *, lists 1,2, ranges 1-5, steps */2{self.special}"


SECOND = Field("second", 0, 59)
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY = Field("day of month", 1, 31, special=", L, L-3, 15W, LW")
MONTH = Field("month", 1, 12, _MONTHS)
WEEKDAY = Field("day of week", 0, 7, _WEEKDAYS, special=", 5L, 1#2")


class Word(NamedTuple):
    """A part of the text: what it says, its field, and where it starts, counted from 0."""

    text: str
    field: Field
    number: int
    start: int

    def part(self, text: str, offset: int) -> Word:
        """A part of the word, which starts so many characters behind its start."""
        return Word(text, self.field, self.number, self.start + offset)

    def split(self, sign: str) -> list[Word]:
        """The parts between the signs."""
        parts: list[Word] = []
        offset = 0
        for text in self.text.split(sign):
            parts.append(self.part(text, offset))
            offset += len(text) + 1
        return parts

    def refuse(self, message: str, accepted: str | None = None) -> NoReturn:
        """Say what is wrong here; without other advice, that all of the field's language is accepted."""
        place = f"field {self.number} ({self.field.name}), character {self.start + 1}"
        raise BadSchedule("cron", f"{place}: {message}", accepted or self.field.accepted)


def read_bits(word: Word) -> int:
    """A whole field: the set of its values, as bits."""
    bits = 0
    for term in word.split(","):
        bits |= read_term(term)
    return bits


def read_term(term: Word) -> int:
    """One member of a list: a value, a range or a star, perhaps with a step."""
    base, *steps = term.split("/")
    if len(steps) > 1:
        steps[1].refuse("a second step")
    low, high = _ends(base)
    if not steps:
        return _run(low, high if high is not None else low, 1)
    return _run(low, high if high is not None else term.field.high, _step(steps[0]))


def _ends(base: Word) -> tuple[int, int | None]:
    """The first and last value of a range or a star; for a single value there is no last."""
    field = base.field
    if base.text == "*" or (base.text == "?" and field in {DAY, WEEKDAY}):
        return field.low, field.high
    first, *rest = base.split("-")
    if not rest:
        return read_value(first), None
    if len(rest) > 1 or not first.text:
        base.refuse(f"{base.text!r} is no range")
    low, high = read_value(first), read_value(rest[0])
    if high < low:
        base.refuse(
            f"the range {base.text!r} runs backwards",
            f"two ranges, {low}-{field.high},{field.low}-{high}, if that is meant",
        )
    return low, high


def _run(low: int, high: int, step: int) -> int:
    return sum(1 << value for value in range(low, high + 1, step))


def _step(word: Word) -> int:
    if not is_number(word.text) or not 1 <= int(word.text) <= word.field.size:
        longer = "; for a longer beat use an interval" if word.field in {SECOND, MINUTE, HOUR} else ""
        word.refuse(f"{word.text!r} is no step", f"1-{word.field.size}{longer}")
    return int(word.text)


def read_value(word: Word) -> int:
    """A number or a name of the field."""
    field = word.field
    if word.text.lower() in field.names:
        return field.names.index(word.text.lower()) + field.low
    if not word.text:
        word.refuse("a value is missing")
    if not is_number(word.text):
        word.refuse(f"{word.text!r} is no value")
    if not field.low <= int(word.text) <= field.high:
        word.refuse(f"{word.text} is not between {field.low} and {field.high}")
    return int(word.text)


def is_number(text: str) -> bool:
    """Whether a text is a number that any field could hold; foreign digits are not."""
    return text.isascii() and text.isdigit() and len(text) <= 4
