"""
Texts with places for values, such as ``orders/{day}.csv`` or ``{interval_start:%Y/%m/%d}/orders.csv``.

Only paths are made so. A value that comes from outside can stand for a part of a name, and never for a way to another folder:
which parameters may stand in a text is decided in ``binding``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from etlplus.jobs.parameters import Value

_PART = re.compile(r"\{\{|\}\}|\{(?P<name>[A-Za-z]\w*)(?::(?P<form>[^{}]*))?\}|[{}]")
_FORM = re.compile(r"(?:[^%]|%[YmdHMSjGVu])+")
_LITERAL = {"{{": "{", "}}": "}"}


def places(text: str) -> list[tuple[str, str | None]]:
    """
    The names of the values that stand in a text, each with its form, if it has one.

    Raises:
        ValueError: there is a brace that means nothing, or a form that cannot be written.
    """
    found: list[tuple[str, str | None]] = []
    for part in _PART.finditer(text):
        if part["name"] is None and part[0] not in _LITERAL:
            raise ValueError(f"the brace at character {part.start() + 1} belongs to no place for a value")
        if part["form"] is not None and not _FORM.fullmatch(part["form"]):
            raise ValueError(f"{part['form']!r} is no form for a day or a moment")
        if part["name"] is not None:
            found.append((part["name"], part["form"]))
    return found


def filled(text: str, values: Mapping[str, Value], zone: ZoneInfo) -> str:
    """The text with its values; moments are told as the clocks of the zone show them. Raises KeyError where one is missing."""

    def shown(part: re.Match[str]) -> str:
        return _LITERAL.get(part[0]) or written(values[part["name"]], part["form"], zone)

    return _PART.sub(shown, text)


def written(value: Value, form: str | None, zone: ZoneInfo) -> str:
    """A value as it stands in a text."""
    if isinstance(value, datetime):
        value = value.astimezone(zone)
        return value.strftime(form) if form else value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.strftime(form) if form else value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)
