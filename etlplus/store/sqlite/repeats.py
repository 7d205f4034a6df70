"""
Outcomes that are told again on SQLite, since the answer to the first time was lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from etlplus.jobs import transitions
from etlplus.jobs.model import Run
from etlplus.store.contract import Outcome
from etlplus.store.scheduling import ends_turn
from etlplus.store.sqlite.reads import attempts, run
from etlplus.store.sqlite.records import KEPT, Db, kept

IN_TURN = f"""
    SELECT {KEPT} FROM run_live
    WHERE job_id = ? AND of_schedule AND state IN ('queued', 'scheduled') ORDER BY id LIMIT 1
"""


def told_before(db: Db, outcome: Outcome, now: datetime) -> Run | None:
    """The run as it is by now, if this outcome has ended its attempt before."""
    for each in attempts(db, outcome.run_id):
        ends_so = each.ended == transitions.ended(each, outcome.result, now).ended
        if ends_so and (each.number, each.worker_id) == (outcome.attempt, outcome.worker_id):
            return run(db, outcome.run_id)
    return None


def gone_on(db: Db, ended: Iterable[Run]) -> list[Run]:
    """Of each schedule of which one of these runs has ended before, a run that goes on by now, and may have waited for it."""
    jobs = sorted({each.job_id for each in ended if ends_turn(each)})
    return [kept(row).present for job_id in jobs for row in db.execute(IN_TURN, (job_id,))]
