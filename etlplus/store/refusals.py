"""
From what the study refuses to the error that tells of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from etlplus.errors import Conflict, Invalid, NotFound, Problem
from etlplus.jobs.checks import check_job, check_wish
from etlplus.jobs.model import Job, JobDraft, NewRun
from etlplus.jobs.queues import QueueMode
from etlplus.jobs.refusal import TOLD_MAX, Refusal

USERS_TOLD = 5
"""So many jobs that use something are named; stores look for one more."""


def refuse_job(draft: JobDraft, queues: Collection[str], limits: Collection[str]) -> None:
    """Raises Invalid if the definition names a queue or a limit that does not exist."""
    _refuse("the job cannot be stored", check_job(draft, queues, limits))


def refuse_wishes(wishes: Sequence[NewRun], jobs: Mapping[str, Job], modes: Mapping[str, QueueMode]) -> None:
    """Raises NotFound for a job that does not exist, Conflict for one that is at another version than was wished for, and
    Invalid for whatever else cannot be accepted, of which the first so many are told.
    """
    found: list[Refusal] = []
    for number, wish in enumerate(wishes):
        job = jobs.get(wish.job_id)
        if job is None:
            raise NotFound(f"there is no job {wish.job_id!r}")
        if wish.job_version not in (None, job.version):
            raise Conflict(f"the job is at version {job.version}, not {wish.job_version}", code="stale_version")
        place = f"/{number}" if len(wishes) > 1 else ""
        if len(found) < TOLD_MAX:
            found += check_wish(wish, job, modes.get(job.queue, QueueMode.OPEN), place)
    _refuse("the run cannot be made" if len(wishes) == 1 else "the runs cannot be made", found)


def refused_name(name: str) -> Conflict:
    """The refusal of a job whose name another one has."""
    problem = Problem(f"another job is called {name!r}", "/name", "name_taken", suggestion="a name of its own")
    return Conflict("the job is not accepted", [problem], code=problem.code)


def in_use(what: str, code: str, *, has_runs: bool, jobs: Sequence[str]) -> Conflict:
    """The refusal to forget what unfinished runs or jobs need; ``jobs`` are the names of some of these."""
    reasons = ["unfinished runs need it"] if has_runs else []
    if jobs:
        named, more = ", ".join(map(repr, jobs[:USERS_TOLD])), " and others" if len(jobs) > USERS_TOLD else ""
        reasons.append(f"it is named by the job{'s' if len(jobs) > 1 else ''} {named}{more}")
    return Conflict(f"the {what} is in use: {', and '.join(reasons)}", code=code)


def default_stays() -> Conflict:
    """The refusal to forget the queue that is there from the beginning."""
    return Conflict("the queue 'default' stays: it is that of every job that names none", code="queue_in_use")


def _refuse(title: str, refusals: Sequence[Refusal]) -> None:
    if refusals:
        problems = [Problem(each.message, each.pointer, each.code, suggestion=each.accepted) for each in refusals]
        raise Invalid(title, problems, code=refusals[0].code)
