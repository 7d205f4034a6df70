"""
Dead letters: runs that failed for good and stand there until somebody replays them, discards them, or they grow old.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, cast

import msgspec

from etlplus.jobs.model import Job, NewRun, Run

Edit = dict[str, Any]
"""Changes to parameters, as RFC 7396 has them: a value takes the place of the old one, null removes it, and an object is
merged into an object.
"""


class LetterFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are meant; an empty field asks for nothing. ``failed_from`` is included, ``failed_before`` is not."""

    run_ids: tuple[str, ...] = ()
    job_id: str | None = None
    queue: str | None = None
    code: str | None = None
    failed_from: datetime | None = None
    failed_before: datetime | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A run that failed for good, and what was done about it: nothing yet, replayed as ``replay_id``, or discarded for a
    ``reason``.
    """

    run: Run
    failed_at: datetime
    resolution: Literal["replayed", "discarded"] | None = None
    resolved_at: datetime | None = None
    reason: str | None = None
    replay_id: str | None = None


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What became, or in a dry run would become, of one dead letter: the run that was made from it, or why none was."""

    run_id: str
    params: dict[str, Any]
    run: Run | None = None
    problems: tuple[str, ...] = ()


def wish_for(letter: Run, job: Job, edit: Edit) -> NewRun:
    """The wish that a replay is: the job's present version, for the letter's interval, with its parameters as edited."""
    params = merged(letter.params, edit)
    return NewRun(job_id=job.id, params=params, cause="replay", replay_of=letter.id, interval=letter.interval)


def merged(params: dict[str, Any], edit: Edit) -> dict[str, Any]:
    """
    Parameters after an edit.

    Source:
        RFC 7396 (JSON Merge Patch).
    """
    result = dict(params)
    for name, value in edit.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            before = result.get(name)
            inner = cast("dict[str, Any]", before) if isinstance(before, dict) else {}
            result[name] = merged(inner, cast("Edit", value))
        else:
            result[name] = value
    return result
