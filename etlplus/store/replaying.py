"""
Replaying dead letters: which can be replayed at present, and as what. Both bodies ask this, then make the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from etlplus.jobs.checks import check_wish
from etlplus.jobs.letters import Edit, Replay, merged, wish_for
from etlplus.jobs.model import Job, NewRun, Run
from etlplus.jobs.queues import QueueMode


def planned(
    letters: Sequence[Run], jobs: Mapping[str, Job], modes: Mapping[str, QueueMode], edit: Edit
) -> list[tuple[Replay, NewRun | None]]:
    """For each letter what a replay would be, and the wish to grant; None with the problems if it cannot be replayed."""
    return [_plan(letter, jobs.get(letter.job_id), modes, edit) for letter in letters]


def _plan(letter: Run, job: Job | None, modes: Mapping[str, QueueMode], edit: Edit) -> tuple[Replay, NewRun | None]:
    if job is None:
        problem = f"the job {letter.job_name!r} was deleted"
        return Replay(run_id=letter.id, params=merged(letter.params, edit), problems=(problem,)), None
    wish = wish_for(letter, job, edit)
    refusals = check_wish(wish, job, modes.get(job.queue, QueueMode.OPEN))
    problems = tuple(f"{each.pointer}: {each.message} ({each.accepted})" for each in refusals)
    return Replay(run_id=letter.id, params=wish.params, problems=problems), None if refusals else wish
