"""
Limits on SQLite: what they are, and the slots and tokens that their keys have.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from etlplus.jobs.queues import HOUSE, Limit, LimitDraft
from etlplus.jobs.rates import Rate
from etlplus.store.refusals import USERS_TOLD, in_use
from etlplus.store.sqlite.rates import change_rate
from etlplus.store.sqlite.records import Db, decode, encode, found, moment

_LIMIT = "name, slots, rate, created_at, updated_at"
_PUT = f"""
    INSERT INTO limit_rule (name, slots, rate, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET slots = excluded.slots, rate = excluded.rate, updated_at = excluded.updated_at
    RETURNING {_LIMIT}
"""
_HAS_RUNS = "SELECT EXISTS (SELECT 1 FROM run_live JOIN lane ON lane.id = run_live.lane WHERE lane.limit_name = ?)"
_USERS = "SELECT name FROM job WHERE CAST(doc AS TEXT) ->> '$.limit.name' = ? ORDER BY name LIMIT ?"
_ADD = "INSERT OR IGNORE INTO limit_slot (key, slot) VALUES (?, ?)"
_DROP = "DELETE FROM limit_slot WHERE key = ? AND slot > ? AND run_id IS NULL"


def save_limit(db: Db, draft: LimitDraft, now: datetime) -> Limit:
    rate = encode(draft.rate) if draft.rate else None
    row = db.execute(_PUT, (draft.name, draft.slots, rate, now.timestamp(), now.timestamp())).fetchone()
    size_keys(db, _keys(db, draft.name), draft.slots or 0)
    change_rate(db, draft.name, draft.rate, now)
    db.execute("UPDATE lane SET open = true WHERE limit_name = ? AND limit_key <> ''", (draft.name,))
    return _limit(row)


def delete_limit(db: Db, name: str) -> None:
    found(db.execute("SELECT 1 FROM limit_rule WHERE name = ?", (name,)).fetchone(), "limit", name)
    (has_runs,) = db.execute(_HAS_RUNS, (name,)).fetchone()
    jobs = [job for (job,) in db.execute(_USERS, (name, USERS_TOLD + 1))]
    if has_runs or jobs:
        raise in_use("limit", "limit_in_use", has_runs=bool(has_runs), jobs=jobs)
    size_keys(db, _keys(db, name), 0)
    db.execute("DELETE FROM limit_bucket WHERE limit_name = ?", (name,))
    db.execute("DELETE FROM limit_rule WHERE name = ?", (name,))


def limits(db: Db) -> list[Limit]:
    return [_limit(row) for row in db.execute(f"SELECT {_LIMIT} FROM limit_rule ORDER BY name")]


def size_keys(db: Db, keys: Iterable[str], slots: int) -> None:
    """Give keys so many slots; what is above is dropped as soon as nobody holds it."""
    for key in keys:
        db.executemany(_ADD, [(key, slot) for slot in range(1, slots + 1)])
        db.execute(_DROP, (key, slots))


def _keys(db: Db, name: str) -> list[str]:
    if name == HOUSE:
        return [HOUSE]
    return [row[0] for row in db.execute("SELECT DISTINCT limit_key FROM lane WHERE limit_name = ?", (name,))]


def _limit(row: Any) -> Limit:
    name, slots, rate, created_at, updated_at = row
    return Limit(
        name=name,
        slots=slots,
        rate=decode(Rate, rate) if rate else None,
        created_at=moment(created_at),
        updated_at=moment(updated_at),
    )
