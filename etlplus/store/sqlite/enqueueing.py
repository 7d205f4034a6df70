"""
Making runs on SQLite, one or ten thousand at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from etlplus.jobs.ids import Ids
from etlplus.jobs.model import NewRun, Run
from etlplus.jobs.ticks import SCHEDULED
from etlplus.store.granting import Batch
from etlplus.store.kept import Kept
from etlplus.store.refusals import refuse_wishes
from etlplus.store.sqlite.definitions import job
from etlplus.store.sqlite.queues import modes
from etlplus.store.sqlite.recording import record
from etlplus.store.sqlite.records import KEPT, Db, encode, kept, one

_PUT_LANE = """
    INSERT INTO lane (queue, labels, limit_name, limit_key, open, opened_at) VALUES (?, ?, ?, ?, true, ?)
    ON CONFLICT (queue, labels, limit_key) DO UPDATE SET
        open = ready_at IS NULL, limit_name = excluded.limit_name, opened_at = iif(open, opened_at, excluded.opened_at)
    RETURNING id
"""
_PUT_SLOTS = """
    WITH RECURSIVE slot (number, slots) AS (
        SELECT 1, slots FROM limit_rule WHERE name = ? AND slots IS NOT NULL
        UNION ALL SELECT number + 1, slots FROM slot WHERE number < slots
    )
    INSERT OR IGNORE INTO limit_slot (key, slot) SELECT ?, number FROM slot
"""
_PUT_RUN = """
    INSERT INTO run_live (id, lane, job_id, state, queue, rank_at, run_at, waits_until, attempt, of_schedule, doc)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)
"""
_PUT_KEY = "INSERT INTO unique_key VALUES (?, ?) ON CONFLICT DO UPDATE SET run_id = excluded.run_id"


def enqueue(db: Db, ids: Ids, wishes: Sequence[NewRun], now: datetime) -> list[Run]:
    jobs = {job_id: found_job for job_id in {wish.job_id for wish in wishes} if (found_job := job(db, job_id))}
    refuse_wishes(wishes, jobs, modes(db))
    batch = Batch(jobs, _holders(db, wishes), lambda: ids.new(now), now)
    answers = batch.grant(wishes)
    put_runs(db, batch.made, now)
    db.executemany(_PUT_KEY, batch.keys.items())
    move(db, record(db, batch.replaced, now), now)
    return [batch.runs[run_id] for run_id in answers]


def _holders(db: Db, wishes: Sequence[NewRun]) -> dict[str, Run | Kept]:
    """Who has the unique keys that are wished for."""
    holders: dict[str, Run | Kept] = {}
    for key in {wish.unique_key for wish in wishes if wish.unique_key is not None}:
        row = db.execute("SELECT run_id FROM unique_key WHERE key = ?", (key,)).fetchone()
        holder = (line_of(db, row[0]) or one(db, Run, "SELECT doc FROM run WHERE id = ?", row[0])) if row else None
        if holder is not None:
            holders[key] = holder
    return holders


Place = tuple[str, str, str]


def put_runs(db: Db, runs: Sequence[Run], now: datetime) -> None:
    """Store runs that were just made, each in its lane."""
    lanes: dict[Place, int] = {}
    for run in runs:
        if (place := _place(run)) not in lanes:
            lanes[place] = _put_lane(db, run, now)
    db.executemany(_PUT_RUN, [_row(run, lanes[_place(run)]) for run in runs])


def move(db: Db, runs: Sequence[Run], now: datetime) -> None:
    """Put unfinished runs into the lanes where they belong by now."""
    for run in runs:
        db.execute("UPDATE run_live SET lane = ? WHERE id = ?", (_put_lane(db, run, now), run.id))


def _place(run: Run) -> Place:
    return run.queue, ",".join(run.labels), run.limit_key


def _put_lane(db: Db, run: Run, now: datetime) -> int:
    queue, labels, key = _place(run)
    (number,) = db.execute(_PUT_LANE, (queue, labels, run.limit, key, now.timestamp())).fetchone()
    if key:
        db.execute(_PUT_SLOTS, (run.limit, key))
    return number


def _row(run: Run, lane: int) -> tuple[Any, ...]:
    return (
        run.id, lane, run.job_id, run.state, run.queue, run.rank_at.timestamp(), run.run_at.timestamp(),
        run.waits_until.timestamp() if run.waits_until else None, run.cause == SCHEDULED,
        encode(run),
    )  # fmt: skip


def line_of(db: Db, run_id: str) -> Kept | None:
    """The line of an unfinished run."""
    row = db.execute(f"SELECT {KEPT} FROM run_live WHERE id = ?", (run_id,)).fetchone()
    return kept(row) if row else None
