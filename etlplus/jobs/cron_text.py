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

from etlplus.jobs.cron import Cron
from etlplus.jobs.cron_day_text import day_rules
from etlplus.jobs.cron_words import DAY, HOUR, MINUTE, MONTH, SECOND, WEEKDAY, Word, read_bits
from etlplus.jobs.refusal import BadSchedule

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIVE = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@lru_cache(maxsize=4096)
def parse(text: str) -> Cron:
    """
    The pattern that a text describes.

    Raises:
        BadSchedule: it describes none, or one that never comes; the error names field, character and what is accepted.
    """
    words = _words(text)
    *times, day, month, weekday = words
    seconds, minutes, hours = [read_bits(word) for word in times] if len(times) == 3 else [1, *map(read_bits, times)]
    cron = Cron(seconds, minutes, hours, read_bits(month), day_rules(day, weekday))
    if not cron.ever():
        day.refuse(
            f"no month in {month.text!r} ever has a day that {day.text!r} and {weekday.text!r} mean",
            "days that exist in one of the months",
        )
    return cron


def _words(text: str) -> list[Word]:
    """The text cut into its fields; a nickname stands for its five."""
    meant = NICKNAMES.get(text.strip().lower(), text) if text.strip().startswith("@") else text
    found = list(re.finditer(r"\S+", meant))
    if len(found) not in {5, 6} or meant.lstrip().startswith("@"):
        nicknames = ", ".join(NICKNAMES)
        fields = "minute hour day-of-month month day-of-week, with second in front or without"
        raise BadSchedule("cron", f"{text!r} has {len(found)} field(s)", f"5 or 6 fields ({fields}), or {nicknames}")
    fields = _FIVE if len(found) == 5 else (SECOND, *_FIVE)
    return [
        Word(match.group(), field, number, match.start())
        for number, (match, field) in enumerate(zip(found, fields, strict=True), start=1)
    ]
