"""
Outcomes that are told again on PostgreSQL, since the answer to the first time was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from etlplus.jobs import transitions
from etlplus.jobs.model import Run
from etlplus.store.contract import Outcome
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.reads import run
from etlplus.store.postgres.records import attempt
from etlplus.store.postgres.sql import runs as sql


async def told_before(db: Db, outcomes: Mapping[int, Outcome], now: datetime) -> dict[int, Run]:
    """Of outcomes whose attempts are not held, those that ended the attempt before: the runs, as they are by now."""
    if not outcomes:
        return {}
    rows = await db.fetch(sql.ATTEMPTS_OF, sorted({outcome.run_id for outcome in outcomes.values()}))
    ended = {(each.run_id, each.number, each.worker_id): each for each in (attempt(row["attempt"]) for row in rows)}
    found: dict[int, Run] = {}
    for number, outcome in outcomes.items():
        before = ended.get((outcome.run_id, outcome.attempt, outcome.worker_id))
        if before is not None and before.ended == transitions.ended(before, outcome.result, now).ended:
            found[number] = await run(db, outcome.run_id)
    return found
