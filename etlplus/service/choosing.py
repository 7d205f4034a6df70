"""
Which dead letters somebody means: everything about them that can be asked for, and that nobody means all by saying nothing.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from etlplus.errors import Invalid, Problem
from etlplus.service.checking import Moment, too_far

Plain = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f]*$",
        description="1 to 200 characters, none of them a control character",
    ),
]


class Letters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are meant: those that fit every field that is given. ``job`` is a name or an id, ``code`` that of the
    error; ``failed_from`` is included, ``failed_before`` is not. Without any other field, ``all`` has to be true.
    """

    run_ids: Annotated[tuple[Plain, ...], msgspec.Meta(max_length=1000)] = ()
    job: Plain | None = None
    queue: Plain | None = None
    code: Plain | None = None
    failed_from: Moment | None = None
    failed_before: Moment | None = None
    all: bool = False


def refuse_nothing(which: Letters) -> None:
    """Raises Invalid if no field says which are meant."""
    if which == Letters():
        problem = Problem("nothing says which dead letters are meant", "/which", suggestion="a field, or all: true")
        raise Invalid("this is not accepted", [problem])
    if which.all and which != Letters(all=True):
        problem = Problem("all are meant, and then again not all", "/which/all", suggestion="all, or other fields")
        raise Invalid("this is not accepted", [problem])


def refuse_far(which: Letters, place: str) -> None:
    """Raises Invalid if a moment is too far away to be meant."""
    places = ((which.failed_from, f"{place}/failed_from"), (which.failed_before, f"{place}/failed_before"))
    if found := [problem for moment, place in places for problem in too_far(moment, place)]:
        raise Invalid("this is not accepted", found)
