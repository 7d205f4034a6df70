"""
Outcomes that are told again on SQLite, since the answer to the first time was lost.
"""

from __future__ import annotations

from datetime import datetime

from etlplus.jobs import transitions
from etlplus.jobs.model import Run
from etlplus.store.contract import Outcome
from etlplus.store.sqlite.reads import attempts, run
from etlplus.store.sqlite.records import Db


def told_before(db: Db, outcome: Outcome, now: datetime) -> Run | None:
    """The run as it is by now, if this outcome has ended its attempt before."""
    for each in attempts(db, outcome.run_id):
        ends_so = each.ended == transitions.ended(each, outcome.result, now).ended
        if ends_so and (each.number, each.worker_id) == (outcome.attempt, outcome.worker_id):
            return run(db, outcome.run_id)
    return None
