"""
Which dead letters, or which unfinished runs, somebody means: everything about them that can be asked for, and that nobody means
all by saying nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from etlplus.errors import Invalid, Problem
from etlplus.jobs.checks import KEY_CHARS_MAX
from etlplus.service.checking import Moment, too_far

Plain = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f]*$(?!\n)",
        description="1 to 200 characters, none of them a control character",
    ),
]
LimitKey = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=KEY_CHARS_MAX,
        pattern=r"^[^\x00]*$(?!\n)",
        description=f"1 to {KEY_CHARS_MAX} characters, none of them NUL",
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


Unended = Literal["scheduled", "blocked", "queued", "running"]


class UnfinishedRuns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which unfinished runs are meant: those that fit every field that is given. ``job`` is a name or an id, ``limit_key`` what
    runs count against, such as ``tenant/42``; ``made_before`` is not included. Without any other field, ``all`` has to be true.
    """

    job: Plain | None = None
    queue: Plain | None = None
    states: Annotated[tuple[Unended, ...], msgspec.Meta(max_length=4)] = ()
    limit_key: LimitKey | None = None
    made_before: Moment | None = None
    all: bool = False


def refuse_nothing(which: Letters | UnfinishedRuns, meant: str) -> None:
    """Raises Invalid if no field says which are meant."""
    kind = type(which)
    if which == kind():
        problem = Problem(f"nothing says which {meant} are meant", "/which", suggestion="a field, or all: true")
        raise Invalid("this is not accepted", [problem])
    if which.all and which != kind(all=True):
        problem = Problem("all are meant, and then again not all", "/which/all", suggestion="all, or other fields")
        raise Invalid("this is not accepted", [problem])


def refuse_far(which: Letters | UnfinishedRuns, place: str) -> None:
    """Raises Invalid if a moment is too far away to be meant."""
    if isinstance(which, Letters):
        moments = {"failed_from": which.failed_from, "failed_before": which.failed_before}
    else:
        moments = {"made_before": which.made_before}
    if found := [problem for name, moment in moments.items() for problem in too_far(moment, f"{place}/{name}")]:
        raise Invalid("this is not accepted", found)
