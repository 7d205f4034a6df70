"""
The tick ledger on SQLite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from etlplus.jobs.reasons import Reason
from etlplus.jobs.retention import Keep, ledger_begin, lines_kept
from etlplus.jobs.ticks import LATELY, Tick, TickOutcome
from etlplus.store.contract import Scheduled
from etlplus.store.sqlite.records import Db, encode, many_jobs, moment

_PUT = """
    INSERT INTO tick VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
        last_at = max(last_at, excluded.last_at), amount = max(amount, excluded.amount)
    WHERE run_id IS NULL RETURNING run_id
"""
_TICKS = """
    SELECT job_id, nominal_at, outcome, last_at, amount, reason, run_id, decided_at FROM tick
    WHERE job_id = :job AND (:at IS NULL OR (nominal_at, outcome) < (:at, :outcome))
    ORDER BY nominal_at DESC, outcome DESC LIMIT :limit
"""
DECIDED_AT = "SELECT decided_at FROM tick WHERE job_id = ? ORDER BY nominal_at DESC, outcome DESC LIMIT 1"
_NEXT_DUE = "SELECT doc FROM job WHERE next_at IS NOT NULL AND fault IS NULL ORDER BY next_at, id LIMIT ?"
_OF_JOBS = """
    SELECT doc FROM job
    WHERE id IN (SELECT value FROM json_each(?)) AND CAST(doc AS TEXT) ->> 'schedule' IS NOT NULL ORDER BY id LIMIT ?
"""
_NOT_DUE = """
    SELECT doc FROM job WHERE (next_at IS NULL OR fault IS NOT NULL) AND CAST(doc AS TEXT) ->> 'schedule' IS NOT NULL
    ORDER BY name LIMIT ?
"""
_SURPLUS = "SELECT decided_at FROM tick ORDER BY decided_at DESC LIMIT 1 OFFSET ?"
FORGET = """
    DELETE FROM tick WHERE (job_id, nominal_at, outcome) IN (
        SELECT job_id, nominal_at, outcome FROM tick WHERE decided_at < ? ORDER BY decided_at LIMIT ?
    )
"""


def put_ticks(db: Db, ticks: Iterable[Tick]) -> set[str]:
    """Write lines; the ids of the runs whose lines are new. A nominal time that has its run keeps it.

    A stretch may begin where an earlier one did, when the clock was put back and the job saved again; it grows then.
    """
    new = [db.execute(_PUT, _row(each)).fetchall() for each in ticks]
    return {run_id for rows in new for (run_id,) in rows if run_id is not None}


def decided_at(db: Db, job_id: str) -> datetime | None:
    """When the newest line of a job was written."""
    row = db.execute(DECIDED_AT, (job_id,)).fetchone()
    return moment(row[0]) if row is not None else None


def ticks(db: Db, job_id: str, limit: int, after: tuple[datetime, str] | None) -> list[Tick]:
    at, outcome = (after[0].timestamp(), after[1]) if after else (None, None)
    values = {"job": job_id, "at": at, "outcome": outcome, "limit": limit}
    return [_tick(row) for row in db.execute(_TICKS, values).fetchall()]


def scheduled(db: Db, job_ids: Sequence[str] | None, limit: int) -> list[Scheduled]:
    if job_ids is not None:
        jobs = many_jobs(db, _OF_JOBS, encode(job_ids), limit)
    else:
        jobs = many_jobs(db, _NEXT_DUE, limit)
        jobs += many_jobs(db, _NOT_DUE, limit - len(jobs))
    return [Scheduled(job, ticks(db, job.id, LATELY, None)) for job in jobs]


def forget(db: Db, keep: Keep, now: datetime, limit: int) -> int:
    """Remove the oldest lines that are too old or too many; how many."""
    most = lines_kept(keep)
    surplus = db.execute(_SURPLUS, (most,)).fetchone() if most is not None else None
    before = ledger_begin(keep, now, moment(surplus[0]) if surplus is not None else None)
    return db.execute(FORGET, (before.timestamp(), limit)).rowcount if before is not None else 0


def _row(each: Tick) -> tuple[Any, ...]:
    return (
        each.job_id, each.nominal_at.timestamp(), each.outcome, each.last_at.timestamp(), each.count, each.reason,
        each.run_id, each.decided_at.timestamp(),
    )  # fmt: skip


def _tick(row: Any) -> Tick:
    job_id, nominal_at, outcome, last_at, count, reason, run_id, decided_at = row
    return Tick(
        job_id=job_id,
        nominal_at=moment(nominal_at),
        outcome=TickOutcome(outcome),
        last_at=moment(last_at),
        count=count,
        reason=Reason(reason) if reason is not None else None,
        run_id=run_id,
        decided_at=moment(decided_at),
    )
