"""
What a worker says of itself and of the attempt it carries, on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from etlplus.jobs.model import RunState, Worker
from etlplus.store.contract import Beat
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import encode, kept
from etlplus.store.postgres.sql import claims
from etlplus.store.postgres.sql import runs as sql


async def join(db: Db, worker: Worker) -> None:
    values = (worker.id, worker.node, worker.pid, worker.boot_id, worker.started_at, worker.beat_at)
    await db.execute(claims.PUT_WORKER, *values, worker.expires_at, worker.slots, list(worker.labels))


async def beat(db: Db, worker_id: str, now: datetime, expires_at: datetime, attends: bool) -> Beat:
    row = await db.fetchrow(claims.BEAT, worker_id, now, expires_at, attends)
    if not row["alive"]:
        return Beat(alive=False)
    return Beat(alive=True, cancel=tuple(row["cancel"]), audience=row["audience"], company=row["company"])


async def freeze(db: Db, run_id: str, attempt: int, bounds: Mapping[str, Any]) -> bool:
    row = await db.fetchrow(sql.LIVE_RUN_FOR_CHANGE, run_id)
    if row is None:
        return False
    line = kept(row)
    run = line.present
    if run.state is not RunState.RUNNING or run.attempt != attempt or run.bounds is not None:
        return False
    await db.execute(sql.KEEP_DOC, run_id, encode(replace(line.run, bounds=dict(bounds))))
    return True
