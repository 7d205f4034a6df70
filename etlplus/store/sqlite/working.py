"""
What a worker says of itself and of the attempt it carries, on SQLite.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from etlplus.jobs.model import RunState, Worker
from etlplus.store.contract import Beat
from etlplus.store.sqlite.enqueueing import line_of
from etlplus.store.sqlite.records import Db, encode, one

_COMPANY = "SELECT EXISTS (SELECT 1 FROM worker WHERE id <> ? AND expires_at > ?)"
_CANCEL = "SELECT id FROM run_live WHERE worker_id = ? AND state = 'running' AND cancel_requested ORDER BY id"


def join(db: Db, worker: Worker) -> None:
    values = (worker.id, worker.expires_at.timestamp(), ",".join(worker.labels), encode(worker))
    db.execute("INSERT OR REPLACE INTO worker (id, expires_at, labels, doc) VALUES (?, ?, ?, ?)", values)


def beat(db: Db, worker_id: str, now: datetime, expires_at: datetime) -> Beat:
    worker = one(db, Worker, "SELECT doc FROM worker WHERE id = ?", worker_id)
    if worker is None:
        return Beat(alive=False)
    join(db, replace(worker, beat_at=now, expires_at=expires_at))
    (company,) = db.execute(_COMPANY, (worker_id, now.timestamp())).fetchone()
    return Beat(alive=True, cancel=tuple(row[0] for row in db.execute(_CANCEL, (worker_id,))), company=bool(company))


def freeze(db: Db, run_id: str, attempt: int, bounds: Mapping[str, Any]) -> bool:
    line = line_of(db, run_id)
    if line is None:
        return False
    run = line.present
    if run.state is not RunState.RUNNING or run.attempt != attempt or run.bounds is not None:
        return False
    doc = encode(replace(line.run, bounds=dict(bounds)))
    db.execute("UPDATE run_live SET doc = ?, revision = revision + 1 WHERE id = ?", (doc, run_id))
    return True
