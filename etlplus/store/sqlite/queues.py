"""
Queues on SQLite.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from etlplus.jobs.queues import COUNTED_MAX, Queue, QueueCounts, QueueDraft, QueueMode, queue_key
from etlplus.store.refusals import USERS_TOLD, default_stays, in_use
from etlplus.store.sqlite.limits import size_keys
from etlplus.store.sqlite.records import Db, found, moment

DEFAULT = "default"

_QUEUE = "name, slots, mode, created_at, updated_at"
_PUT = f"""
    INSERT INTO queue (name, slots, mode, created_at, updated_at) VALUES (?, ?, 'open', ?, ?)
    ON CONFLICT (name) DO UPDATE SET slots = excluded.slots, updated_at = excluded.updated_at
    RETURNING {_QUEUE}
"""
_SET_MODE = f"UPDATE queue SET mode = ?, updated_at = ? WHERE name = ? RETURNING {_QUEUE}"
_HAS_RUNS = "SELECT EXISTS (SELECT 1 FROM run_live JOIN lane ON lane.id = run_live.lane WHERE lane.queue = ?)"
_USERS = "SELECT name FROM job WHERE CAST(doc AS TEXT) ->> 'queue' = ? ORDER BY name LIMIT ?"
_QUEUED = """
    SELECT count(*) FROM (
        SELECT 1 FROM lane JOIN run_live ON run_live.lane = lane.id AND state = 'queued' WHERE lane.queue = ? LIMIT ?
    )
"""
_OLDEST = """
    SELECT min((
        SELECT run_at FROM run_live WHERE state = 'queued' AND run_live.lane = lane.id ORDER BY rank_at, id LIMIT 1
    )) FROM lane WHERE queue = ?
"""
_IN_STATE = "SELECT queue, count(*) FROM (SELECT queue FROM run_live WHERE state = '{}' LIMIT ?) GROUP BY queue"


def save_queue(db: Db, draft: QueueDraft, now: datetime) -> Queue:
    row = db.execute(_PUT, (draft.name, draft.slots, now.timestamp(), now.timestamp())).fetchone()
    size_keys(db, [queue_key(draft.name)], draft.slots or 0)
    return _queue(row)


def set_queue_mode(db: Db, name: str, mode: QueueMode, now: datetime) -> Queue:
    return _queue(found(db.execute(_SET_MODE, (mode, now.timestamp(), name)).fetchone(), "queue", name))


def delete_queue(db: Db, name: str) -> None:
    found(db.execute("SELECT 1 FROM queue WHERE name = ?", (name,)).fetchone(), "queue", name)
    if name == DEFAULT:
        raise default_stays()
    (has_runs,) = db.execute(_HAS_RUNS, (name,)).fetchone()
    jobs = [job for (job,) in db.execute(_USERS, (name, USERS_TOLD + 1))]
    if has_runs or jobs:
        raise in_use("queue", "queue_in_use", has_runs=bool(has_runs), jobs=jobs)
    size_keys(db, [queue_key(name)], 0)
    db.execute("DELETE FROM queue WHERE name = ?", (name,))


def names(db: Db) -> set[str]:
    """The queues there are."""
    return {row[0] for row in db.execute("SELECT name FROM queue")}


def modes(db: Db) -> dict[str, QueueMode]:
    """What each queue does with its runs at present."""
    return {name: QueueMode(mode) for name, mode in db.execute("SELECT name, mode FROM queue")}


def queues(db: Db) -> list[QueueCounts]:
    scheduled = dict(db.execute(_IN_STATE.format("scheduled"), (COUNTED_MAX,)))
    running = dict(db.execute(_IN_STATE.format("running"), (COUNTED_MAX,)))
    found_ = [_queue(row) for row in db.execute(f"SELECT {_QUEUE} FROM queue ORDER BY name")]
    return [_counted(db, queue, scheduled.get(queue.name, 0), running.get(queue.name, 0)) for queue in found_]


def _counted(db: Db, queue: Queue, scheduled: int, running: int) -> QueueCounts:
    (queued,) = db.execute(_QUEUED, (queue.name, COUNTED_MAX)).fetchone()
    (oldest,) = db.execute(_OLDEST, (queue.name,)).fetchone()
    oldest_at = moment(oldest) if oldest is not None else None
    return QueueCounts(queue=queue, queued=queued, scheduled=scheduled, running=running, oldest_at=oldest_at)


def _queue(row: Any) -> Queue:
    name, slots, mode, created_at, updated_at = row
    return Queue(
        name=name, slots=slots, mode=QueueMode(mode), created_at=moment(created_at), updated_at=moment(updated_at)
    )
