"""
The parameters that a pipeline declares, and what a value has to be to fit one.

Values are as JSON has them, until they are converted to what their parameter is. What a whole run has to be given is in ``needs``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

Kind = Literal["text", "name", "integer", "number", "boolean", "date", "timestamp"]
Plain = bool | int | float | str
Value = bool | int | float | str | date | datetime | None


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A value that each run may be given. Without a ``default`` it must be; with ``default: null`` it is null unless it is. If
    there are ``choices``, it is one of them.
    """

    type: Kind = "text"
    default: Plain | msgspec.UnsetType | None = msgspec.UNSET
    choices: Annotated[tuple[Plain, ...], Meta(max_length=100)] = ()
    description: Annotated[str, Meta(max_length=1000)] = ""

    @property
    def is_required(self) -> bool:
        """Whether a run cannot do without a value."""
        return self.default is msgspec.UNSET

    @property
    def accepted(self) -> str:
        """What its values are, in words."""
        return f"one of {', '.join(map(str, self.choices))}" if self.choices else _RULES[self.type].accepted

    @property
    def may_be_null(self) -> bool:
        """Whether the value may be missing where it is used."""
        return self.default is None


Declared = Parameter | Plain | None
"""A parameter, in full or in short: a value stands for a default of its own type, nothing for a text without one."""


class _Rule(NamedTuple):
    accepts: Any
    accepted: str


_RULES: dict[Kind, _Rule] = {
    "text": _Rule(str, 'a text; on a command line, one that looks like a number is written as "42"'),
    "name": _Rule(
        Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$(?!\n)")],
        "a letter, then up to 62 letters, digits and _",
    ),
    "integer": _Rule(Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)], "a whole number within 64 bits"),
    "number": _Rule(float, "a finite number"),
    "boolean": _Rule(bool, "true or false"),
    "date": _Rule(date, "a date such as 2026-03-28"),
    "timestamp": _Rule(
        Annotated[datetime, Meta(tz=True)], "a date, a time and an offset, such as 2026-03-28T12:00:00Z"
    ),
}


class Misfit(ValueError):
    """A value that is not what its parameter asks for. ``accepted`` says what would be."""

    def __init__(self, message: str, accepted: str) -> None:
        super().__init__(message)
        self.message, self.accepted = message, accepted


def in_full(declared: Declared) -> Parameter:
    """A parameter that may have been declared in short."""
    if isinstance(declared, Parameter):
        return declared
    if declared is None:
        return Parameter()
    kinds: dict[type, Kind] = {bool: "boolean", int: "integer", float: "number", str: "text"}
    return Parameter(type=kinds[type(declared)], default=declared)


def converted(parameter: Parameter, value: object) -> Value:
    """
    The value as what the parameter is; moments are in UTC.

    Raises:
        Misfit: it is something else, or none of the choices.
    """
    if value is None and parameter.may_be_null:
        return None
    found = _typed(parameter.type, value)
    if parameter.choices and found not in (_typed(parameter.type, each) for each in parameter.choices):
        raise Misfit(f"{value!r:.60} is none of the choices", parameter.accepted)
    return found


def bound(declared: Mapping[str, Parameter], params: Mapping[str, Any]) -> dict[str, Value]:
    """
    The value of each parameter that has one, defaults included.

    Raises:
        Misfit: one does not fit.
    """
    given = {name: params.get(name, each.default) for name, each in declared.items()}
    return {name: converted(declared[name], value) for name, value in given.items() if value is not msgspec.UNSET}


def _typed(kind: Kind, value: object) -> Value:
    rule = _RULES[kind]
    try:
        found: Value = msgspec.convert(value, rule.accepts)
        if isinstance(found, datetime):
            found = found.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise Misfit(f"{value!r:.60} is no {kind}", rule.accepted) from None
    if isinstance(found, float) and not math.isfinite(found):
        raise Misfit(f"{value!r} is no {kind}", rule.accepted)
    return found
