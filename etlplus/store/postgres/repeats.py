"""
Outcomes that are told again on PostgreSQL, since the answer to the first time was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from etlplus.jobs import transitions
from etlplus.jobs.model import Run
from etlplus.store.contract import Outcome
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.reads import run
from etlplus.store.postgres.records import attempt, kept
from etlplus.store.postgres.sql import runs as sql
from etlplus.store.postgres.sql import schedules
from etlplus.store.scheduling import ends_turn


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


async def gone_on(db: Db, ended: Iterable[Run]) -> list[Run]:
    """Of each schedule of which one of these runs has ended before, a run that goes on by now, and may have waited for it."""
    jobs = sorted({each.job_id for each in ended if ends_turn(each)})
    return [kept(row).present for row in await db.fetch(schedules.IN_TURN, jobs)] if jobs else []
