"""
Cancelling runs on SQLite: one that a person names, many that are found by what they are, or all that a schedule has made and
that are unfinished.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from etlplus.errors import Conflict
from etlplus.jobs import transitions
from etlplus.jobs.ids import first_id
from etlplus.jobs.model import Run, RunState
from etlplus.store.contract import Unfinished
from etlplus.store.kept import entry
from etlplus.store.sqlite.enqueueing import line_of
from etlplus.store.sqlite.recording import record
from etlplus.store.sqlite.records import KEPT, Db, encode, found, kept, marks, one
from etlplus.store.sqlite.turns import release

OF_SCHEDULE = f"SELECT {KEPT} FROM run_live WHERE job_id = ? AND of_schedule AND NOT cancel_requested ORDER BY id"

_NAMED = f"""
    SELECT {KEPT} FROM run_live WHERE id IN (SELECT value FROM json_each(?)) AND NOT cancel_requested ORDER BY id
"""


def cancel(db: Db, run_id: str, now: datetime) -> list[Run]:
    """The run as it is now, and after it the one that goes on in its place, if any."""
    line = line_of(db, run_id)
    if line is None:
        finished = found(one(db, Run, "SELECT doc FROM run WHERE id = ?", run_id), "run", run_id)
        raise Conflict(f"the run is {finished.state} already", code="run_finished")
    if line.present.cancel_requested:
        return [line.present]
    cancelled = entry(line, transitions.cancel(line.present, now))
    return record(db, [cancelled], now) + release(db, [cancelled], now)


def cancel_many(
    db: Db, run_ids: Sequence[str], states: Sequence[RunState], now: datetime
) -> tuple[list[Run], list[Run]]:
    """Of these runs, those that are unfinished and in one of these states, as they are now; and those that go on instead."""
    lines = [kept(row) for row in db.execute(_NAMED, (encode(run_ids).decode(),)).fetchall()]
    meant = [line for line in lines if not states or line.present.state in states]
    cancelled = [entry(line, transitions.cancel(line.present, now)) for line in meant]
    return record(db, cancelled, now), release(db, cancelled, now)


def to_cancel(db: Db, which: Unfinished, limit: int, after: str | None) -> list[str]:
    """The ids of the runs that are meant, newest first; only looked at, so that a long search is in nobody's way."""
    where, values = _chosen(which)
    if after is not None:
        where, values = f"{where} AND id < ?", [*values, after]
    sql = f"SELECT id FROM run_live WHERE {where} ORDER BY id DESC LIMIT ?"
    return [run_id for (run_id,) in db.execute(sql, (*values, limit))]


def unfinished(db: Db, which: Unfinished) -> dict[RunState, int]:
    where, values = _chosen(which)
    sql = f"SELECT state, count(*) FROM run_live WHERE {where} GROUP BY state"
    return {RunState(state): amount for state, amount in db.execute(sql, values)}


def _chosen(which: Unfinished) -> tuple[str, list[Any]]:
    """The conditions, fixed texts, and the values that are bound to them."""
    conditions, values = ["NOT cancel_requested"], list[Any]()
    if which.states:
        conditions.append(f"state IN ({marks(len(which.states))})")
        values += which.states
    for condition, value in (
        ("job_id = ?", which.job_id),
        ("queue = ?", which.queue),
        ("lane IN (SELECT lane.id FROM lane WHERE limit_key = ?)", which.limit_key),
        ("id < ?", first_id(which.made_before) if which.made_before else None),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return " AND ".join(conditions), values


def cancel_scheduled(db: Db, job_id: str, now: datetime) -> list[Run]:
    """Cancel what a schedule has made: what waits at once, what runs by asking its worker."""
    lines = [kept(row) for row in db.execute(OF_SCHEDULE, (job_id,)).fetchall()]
    return record(db, [entry(line, transitions.cancel(line.present, now)) for line in lines], now)
