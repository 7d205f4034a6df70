"""
Whether what a program or a person hands to a facet can be accepted; each refusal names the place, and what would do.

Records that were made in a program were never checked, and any of its values may be of another type than it should be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import wraps
from inspect import signature
from itertools import chain
from types import NoneType
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import structs

from etlplus.errors import Invalid, Problem
from etlplus.jobs.checks import check_fields, check_value
from etlplus.jobs.refusal import FIRST_YEAR, LAST_YEAR, Refusal
from etlplus.jobs.values import BYTES, DEPTH_MAX, TOO_DEEP
from etlplus.pipeline.complaints import problem_of, refused

LIMIT_MAX = 500
LISTED = 3
"""So many levels above its parameters a run may stand in what is sent: a list, its wish, and a field of that."""
TEXT_CHARS_MAX = 10_000
"""Of a text that is a parameter of its own: a name, an id, a cursor, a token."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
T = TypeVar("T")
_PLAIN: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "str | None": (str, NoneType),
    "int": int,
    "int | None": (int, NoneType),
    "bool": bool,
    "Edit | None": (dict, NoneType),
    "Sequence[RunWish]": Sequence,
}
"""Annotations of parameters that are looked at before a method is called."""


def checked(record: T, kind: Any, place: str = "") -> T:
    """
    The same record, once every field fits what its type says, and every value can be kept.

    Args:
        kind: What it should be. Plain data that fits it becomes it.
        place: Where the record stands in what the caller gave; put in front of the pointer.

    Raises:
        Invalid: one does not; the problem names it.
    """
    fields = _plain(record, place)
    try:
        found: T = msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        problem = problem_of(error, fields, kind)
        raise Invalid("this is not accepted", [structs.replace(problem, pointer=place + problem.pointer)]) from None
    _refuse(check_fields(fields, place))
    return found


def written(record: Any) -> bytes:
    """
    A record as JSON, to be sent to where it is checked.

    Raises:
        Invalid: JSON does not have one of its values, so that another one would arrive; the problem names its place.
    """
    fields = _plain(record, "")
    _refuse(check_fields(fields, levels=DEPTH_MAX + LISTED))
    return msgspec.json.encode(fields)


def checked_limit(limit: int, at_most: int = LIMIT_MAX) -> int:
    """The size of a page, or Invalid when it is not between 1 and 500, or what else is allowed at most."""
    return checked_number(limit, "limit", at_most)


def checked_number(value: int, name: str, at_most: int) -> int:
    """A number from 1 on, or Invalid when it is not, or is too large."""
    if 1 <= value <= at_most:
        return value
    problem = Problem(f"{name} is out of range", f"/{name}", suggestion=f"1 to {at_most:,}")
    raise Invalid("a number is out of range", [problem])


def checked_moment(moment: datetime | None, name: str) -> datetime | None:
    """A moment in a zone, or None; Invalid for anything else, and for what is too far away to be meant."""
    try:
        found = msgspec.convert(moment, Moment | None)
    except msgspec.ValidationError as error:
        accepted = "a moment with its offset from UTC"
        raise Invalid("this is not accepted", [Problem(str(error), f"/{name}", suggestion=accepted)]) from None
    if problems := too_far(found, f"/{name}"):
        raise Invalid("this is not accepted", problems)
    return found


def too_far(moment: datetime | None, place: str) -> list[Problem]:
    """What is wrong with a moment that is too far away to be meant, or to be reckoned with."""
    if moment is None or FIRST_YEAR <= moment.year <= LAST_YEAR:
        return []
    accepted = f"a year from {FIRST_YEAR} to {LAST_YEAR}"
    return [Problem(f"{moment.isoformat()} is too far away", place, suggestion=accepted)]


def refuse_text(text: str, place: str) -> None:
    """Raises Invalid for a text of its own that no store could keep."""
    if len(text) > TEXT_CHARS_MAX:
        accepted = f"at most {TEXT_CHARS_MAX:,} characters"
        raise Invalid(
            "this is not accepted", [Problem("this text is too long", place, "too_long", suggestion=accepted)]
        )
    _refuse(check_value(text, place, takes_nul=False))


def for_good_values(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, for texts that can be kept, and for numbers and texts where it wants them; anything else is refused by the
    name of its parameter. At what is neither number nor text the method looks itself.
    """
    wanted = {name: str(each.annotation) for name, each in signature(method).parameters.items()}
    names = list(wanted)[1:]

    @wraps(method)
    def call(self: object, *args: Any, **options: Any) -> Any:
        for name, value in chain(zip(names, args, strict=False), options.items()):
            _refuse_other(value, wanted.get(name, ""), f"/{name}")
            if isinstance(value, str):
                refuse_text(value, f"/{name}")
        return method(self, *args, **options)

    return call


def _refuse_other(value: object, wanted: str, place: str) -> None:
    """Raises Invalid for a value of another type than its parameter wants; true and false are no numbers."""
    if not isinstance(value, _PLAIN.get(wanted, object)) or (isinstance(value, bool) and wanted.startswith("int")):
        problem = Problem(f"Expected `{wanted}`, got `{type(value).__name__}`", place)
        raise Invalid("this is not accepted", [problem])


def _refuse(found: Iterable[Refusal]) -> None:
    if problems := refused(found):
        raise Invalid("this is not accepted", problems, code=problems[0].code)


def _plain(record: Any, place: str) -> Any:
    """A record as plain data; Invalid names the field of it that cannot be written as JSON."""
    try:
        return msgspec.to_builtins(record, builtin_types=BYTES)
    except TypeError as error:
        problem = Problem(f"this cannot be written as JSON: {error}", place + _unwritable(record))
    except RecursionError:
        accepted = f"at most {DEPTH_MAX} levels"
        problem = Problem("this is nested too deeply", place + _unwritable(record), TOO_DEEP, suggestion=accepted)
    raise Invalid("this is not accepted", [problem], code=problem.code)


def _unwritable(record: Any) -> str:
    """The field of a record that cannot be written as JSON, as a pointer."""
    for name, value in _fields(record):
        try:
            msgspec.to_builtins(value)
        except (TypeError, RecursionError):
            return f"/{name}"
    return ""


def _fields(record: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(record, dict):
        return cast("dict[str, Any]", record).items()
    return [(name, getattr(record, name)) for name in getattr(record, "__struct_fields__", ())]
