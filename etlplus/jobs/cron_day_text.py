"""
The two day fields of a cron, with the signs that only they know: L, W and #.
"""

from __future__ import annotations

from etlplus.jobs.cron_days import ALL_DAYS, ALL_WEEKDAYS, DayRules
from etlplus.jobs.cron_words import Word, is_number, read_term, read_value


def day_rules(day: Word, weekday: Word) -> DayRules:
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


def _month_days(word: Word) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
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
            nearest.append(read_value(term.part(term.text[:-1], 0)))
        elif text != "LW":
            bits |= read_term(term)
    return bits, tuple(from_end), tuple(nearest)


def _back(word: Word) -> int:
    if not is_number(word.text) or not 1 <= int(word.text) <= 30:
        word.refuse(f"{word.text!r} is no number of days before the last", "L-1 to L-30")
    return int(word.text)


def _weekdays(word: Word) -> tuple[int, tuple[tuple[int, int], ...], tuple[int, ...]]:
    bits = 0
    nth: list[tuple[int, int]] = []
    last: list[int] = []
    for term in word.split(","):
        if "#" in term.text:
            weekday, *order = term.split("#")
            if len(order) != 1 or order[0].text not in {"1", "2", "3", "4", "5"}:
                order[0].refuse(f"{term.text!r} counts no weekday of a month", "#1 to #5")
            nth.append((read_value(weekday) % 7, int(order[0].text)))
        elif term.text.upper().endswith("L"):
            if len(term.text) == 1:
                term.refuse("L alone names no weekday", "5L or friL for the last Friday of the month")
            last.append(read_value(term.part(term.text[:-1], 0)) % 7)
        else:
            bits |= read_term(term)
    return bits, tuple(nth), tuple(last)
