"""
What somebody who wants runs may say about each, and what the store is asked for then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

import msgspec

from etlplus.errors import Conflict, Invalid, Problem
from etlplus.jobs.model import Job, NewRun, Run, RunState, Uniqueness
from etlplus.jobs.names import Priority
from etlplus.jobs.unique import IDEMPOTENT
from etlplus.service.checking import Moment, too_far
from etlplus.service.choosing import Plain

IDEMPOTENCY_S = 86_400.0
"""For so long, asking again with the same idempotency key is the same question."""

GIVEN_KEY_CHARS_MAX = 300
"""Of a key as somebody gives it; the store's own has more around it."""

UniqueKey = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=GIVEN_KEY_CHARS_MAX,
        pattern=r"^[^\x00-\x1f]*$(?!\n)",
        description="1 to 300 characters, none of them a control character",
    ),
]


class RunOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A run that somebody wants. ``run_at`` ahead makes it wait until then; ``priority`` takes the place of the job's.
    ``interval`` is the stretch of data that it is for, from the first moment on, up to but without the second. While
    ``unique_key`` is some run's, ``unique`` says what becomes of the wish; unless told otherwise, that run is the answer as
    long as it is unfinished.
    """

    params: dict[str, Any] = {}
    run_at: Moment | None = None
    priority: Priority | None = None
    interval: tuple[Moment, Moment] | None = None
    unique_key: UniqueKey | None = None
    unique: Uniqueness = Uniqueness()


class RunWish(RunOptions, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The same, of the job with this name or id."""

    job: Plain


def problems_of(wish: RunOptions, place: str, idempotency_key: str | None) -> list[Problem]:
    """What of a wish cannot be accepted, beyond what its types say."""
    found = too_far(wish.run_at, f"{place}/run_at")
    if wish.interval is not None:
        found += [p for at, end in enumerate(wish.interval) for p in too_far(end, f"{place}/interval/{at}")]
        if not wish.interval[0] < wish.interval[1]:
            message, accepted = "the interval ends before it has begun", "a first moment that is before the second"
            found.append(Problem(message, f"{place}/interval", suggestion=accepted))
    if wish.unique_key is None and wish.unique != Uniqueness():
        message = "this says what becomes of a wish whose key is taken, and the wish has no key"
        found.append(Problem(message, f"{place}/unique", "no_key", suggestion="together with unique_key"))
    if idempotency_key is not None and wish.unique_key is not None:
        message = "a run has one key: give unique_key or an idempotency key"
        found.append(Problem(message, f"{place}/unique_key", "two_keys"))
    return found


def problems_of_key(idempotency_key: str | None) -> list[Problem]:
    """What of an idempotency key cannot be accepted."""
    if idempotency_key is None or 1 <= len(idempotency_key) <= GIVEN_KEY_CHARS_MAX:
        return []
    accepted = f"1 to {GIVEN_KEY_CHARS_MAX} characters"
    return [Problem("this key cannot be kept", "/idempotency_key", "bad_key", suggestion=accepted)]


def to_new_run(wish: RunOptions, job: Job, key: str | None, *, job_version: int | None = None) -> NewRun:
    """What the store is asked for; ``key`` is the idempotency key as ``keys_for`` made it, ``job_version`` the version that the
    job must be at still.
    """
    unique = wish.unique if key is None else Uniqueness(period_s=IDEMPOTENCY_S, states=tuple(RunState))
    return NewRun(
        job_id=job.id,
        job_version=job_version,
        params=wish.params,
        run_at=wish.run_at.astimezone(UTC) if wish.run_at else None,
        priority=wish.priority,
        interval=_in_utc(wish.interval),
        unique_key=wish.unique_key if key is None else key,
        unique=unique,
    )


def _in_utc(interval: tuple[datetime, datetime] | None) -> tuple[datetime, datetime] | None:
    return None if interval is None else (interval[0].astimezone(UTC), interval[1].astimezone(UTC))


def keys_for(wishes: Sequence[RunOptions], idempotency_key: str | None, who: str) -> list[str | None]:
    """
    For each wish, the unique key that makes asking again harmless. Two principals never share one.

    Of several wishes the key counts together with what was asked for: the same question again has the same answer, and
    another one is another question.
    """
    if idempotency_key is None:
        return [None] * len(wishes)
    own = f"{IDEMPOTENT}{who}/{idempotency_key}"
    if len(wishes) == 1:
        return [own]
    asked = sha256(msgspec.json.encode(wishes)).hexdigest()[:32]
    return [f"{own}/{asked}/{number}" for number in range(len(wishes))]


def refuse_other(run: Run, job: Job, wish: RunOptions) -> None:
    """Raises Invalid if an idempotency key has found the run of another request: one for another job, other parameters
    or another interval.
    """
    if (run.job_id, run.params, run.interval) != (job.id, wish.params, wish.interval):
        raise Invalid(
            "this Idempotency-Key was used for another request",
            [Problem(f"it made the run {run.id}", suggestion="a new key for each new request")],
            code="idempotency_mismatch",
        )


def moved(error: Invalid | Conflict, place: str) -> Invalid | Conflict:
    """The same refusal, of something that stands at ``place`` in what the caller wrote."""
    problems = [msgspec.structs.replace(problem, pointer=place + problem.pointer) for problem in error.problems]
    return type(error)(error.message, problems, code=error.reason)
