"""
Dead letters on SQLite.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from etlplus.jobs.ids import Ids
from etlplus.jobs.letters import DeadLetter, Edit, LetterFilter, Replay
from etlplus.jobs.model import Run
from etlplus.store.replaying import planned
from etlplus.store.sqlite.definitions import job
from etlplus.store.sqlite.enqueueing import enqueue
from etlplus.store.sqlite.queues import modes
from etlplus.store.sqlite.records import Db, decode, marks, moment

_LETTERS = "FROM dead_letter JOIN run ON run.id = dead_letter.run_id WHERE {where} ORDER BY run_id {order} LIMIT ?"
_COLUMNS = "run.doc, failed_at, resolution, resolved_at, reason, replay_id"
_RESOLVE = "UPDATE dead_letter SET resolution = ?, resolved_at = ?, reason = ?, replay_id = ? WHERE run_id = ?"


def letters(db: Db, which: LetterFilter, limit: int, after: str | None, resolved: bool) -> list[DeadLetter]:
    where, values = _chosen(which, resolved)
    if after is not None:
        where, values = f"{where} AND run_id < ?", [*values, after]
    sql = f"SELECT {_COLUMNS} {_LETTERS.format(where=where, order='DESC')}"
    return [_letter(row) for row in db.execute(sql, (*values, limit)).fetchall()]


def replay(db: Db, ids: Ids, which: LetterFilter, edit: Edit, dry_run: bool, limit: int, now: datetime) -> list[Replay]:
    dead = _to_resolve(db, which, limit)
    jobs = {job_id: found for job_id in {run.job_id for run in dead} if (found := job(db, job_id))}
    plan = planned(dead, jobs, modes(db), edit)
    wishes = [wish for _, wish in plan if wish is not None]
    if dry_run or not wishes:
        return [told for told, _ in plan]
    runs = {run.replay_of: run for run in enqueue(db, ids, wishes, now)}
    rows = [("replayed", now.timestamp(), None, run.id, letter) for letter, run in runs.items()]
    db.executemany(_RESOLVE, rows)
    return [replace(told, run=runs.get(told.run_id)) for told, _ in plan]


def discard(db: Db, which: LetterFilter, reason: str, limit: int, now: datetime) -> list[str]:
    gone = [run.id for run in _to_resolve(db, which, limit)]
    db.executemany(_RESOLVE, [("discarded", now.timestamp(), reason, None, run_id) for run_id in gone])
    return gone


def _to_resolve(db: Db, which: LetterFilter, limit: int) -> list[Run]:
    """Oldest first: what failed first is replayed first."""
    where, values = _chosen(which, resolved=False)
    sql = f"SELECT run.doc {_LETTERS.format(where=where, order='')}"
    return [decode(Run, doc) for (doc,) in db.execute(sql, (*values, limit)).fetchall()]


def _chosen(which: LetterFilter, resolved: bool) -> tuple[str, list[Any]]:
    """The conditions, fixed texts, and the values that are bound to them."""
    conditions, values = [f"resolution IS {'NOT ' if resolved else ''}NULL"], list[Any]()
    if which.run_ids:
        conditions.append(f"run_id IN ({marks(len(which.run_ids))})")
        values += which.run_ids
    from_s = which.failed_from.timestamp() if which.failed_from else None
    before_s = which.failed_before.timestamp() if which.failed_before else None
    for condition, value in (
        ("dead_letter.job_id = ?", which.job_id),
        ("dead_letter.queue = ?", which.queue),
        ("code = ?", which.code),
        ("failed_at >= ?", from_s),
        ("failed_at < ?", before_s),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return " AND ".join(conditions), values


def _letter(row: Any) -> DeadLetter:
    doc, failed_at, resolution, resolved_at, reason, replay_id = row
    return DeadLetter(
        run=decode(Run, doc),
        failed_at=moment(failed_at),
        resolution=resolution,
        resolved_at=moment(resolved_at) if resolved_at is not None else None,
        reason=reason,
        replay_id=replay_id,
    )
