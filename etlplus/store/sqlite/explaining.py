"""
What stands between a run and a worker, gathered on SQLite.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from etlplus.jobs.explaining import Cap, Pace, Situation
from etlplus.jobs.model import Run, RunState
from etlplus.jobs.queues import COUNTED_MAX, HOUSE, QueueMode, queue_key
from etlplus.store.sqlite import reads
from etlplus.store.sqlite.aside import fault_of
from etlplus.store.sqlite.enqueueing import line_of
from etlplus.store.sqlite.rates import bucket
from etlplus.store.sqlite.records import Db

_AROUND = """
    SELECT mode, slots, (SELECT slots FROM limit_rule WHERE name = ?), (SELECT slots FROM limit_rule WHERE name = '*')
    FROM queue WHERE name = ?
"""
_HOLDERS = "SELECT run_id FROM limit_slot WHERE key = ? AND run_id IS NOT NULL ORDER BY slot"
_CARRYING = "SELECT worker_id, count(*) FROM run_live WHERE state = 'running' GROUP BY worker_id"
_AHEAD = """
    SELECT count(*) FROM (
        SELECT 1 FROM run_live
        WHERE state = 'queued' AND lane = (SELECT lane FROM run_live WHERE id = :id) AND (rank_at, id) < (:rank_at, :id)
        LIMIT :most
    )
"""


def situation(db: Db, run_id: str) -> Situation:
    line = line_of(db, run_id)
    if line is None:
        return Situation(run=reads.run(db, run_id))
    run = line.present
    mode, queue_slots, key_slots, house_slots = db.execute(_AROUND, (run.limit, run.queue)).fetchone()
    caps = (
        _cap(db, "house", HOUSE, house_slots),
        _cap(db, "queue", queue_key(run.queue), queue_slots),
        _cap(db, "limit", run.limit_key, key_slots),
    )
    (ahead,) = db.execute(_AHEAD, {"id": run.id, "rank_at": run.rank_at.timestamp(), "most": COUNTED_MAX}).fetchone()
    return Situation(
        run=run,
        fault=fault_of(db, line),
        claimed_at=line.claimed_at,
        cancel_asked_at=_cancel_asked_at(db, run),
        mode=QueueMode(mode),
        caps=tuple(cap for cap in caps if cap is not None),
        paces=_paces(db, run.limit_key),
        workers=tuple(reads.workers(db)),
        carrying=dict(db.execute(_CARRYING)),
        ahead=ahead,
    )


def _cancel_asked_at(db: Db, run: Run) -> datetime | None:
    """When somebody wanted the end of the attempt in hand: nothing has happened to the run since."""
    if run.state is not RunState.RUNNING or not run.cancel_requested:
        return None
    (asked,) = reads.run_events(db, run.id, run.version - 1, 1)
    return asked.at


def _paces(db: Db, key: str) -> tuple[Pace, ...]:
    """Only of keys that somebody has used: the others have every token."""
    house, of_key = bucket(db, HOUSE), bucket(db, key)
    paces = [Pace("house", HOUSE, house)] if house else []
    return (*paces, Pace("limit", key, of_key)) if of_key else tuple(paces)


def _cap(db: Db, of: Literal["house", "queue", "limit"], key: str, slots: int | None) -> Cap | None:
    if slots is None:
        return None
    return Cap(of, key, slots, tuple(row[0] for row in db.execute(_HOLDERS, (key,))))
