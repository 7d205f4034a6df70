"""
Retention on SQLite: the oldest runs go, a batch at a time, when they are too old or the file holds too much.

The file does not shrink; what is freed is used again.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from etlplus.jobs.ids import first_id
from etlplus.jobs.retention import Keep, Tidied, idle_since, oldest_kept
from etlplus.store.sqlite import ledger, receipts
from etlplus.store.sqlite.records import Db

LAST = "~"
"""Behind every id."""

_OLDEST = """
    SELECT id, state FROM run
    WHERE id < ? AND NOT EXISTS (SELECT 1 FROM dead_letter WHERE run_id = run.id AND resolution IS NULL)
    ORDER BY id LIMIT ?
"""
_FORGET = tuple(
    f"DELETE FROM {table} WHERE {column} = ?"
    for table, column in (
        ("run", "id"), ("run_event", "run_id"), ("attempt_log", "run_id"), ("log_state", "run_id"),
        ("dead_letter", "run_id"), ("unique_key", "run_id"),
    )
)  # fmt: skip
_FORGET_VERSIONS = """
    DELETE FROM job_version WHERE (job_id, version) IN (
        SELECT job_id, version FROM job_version AS former
        WHERE NOT EXISTS (SELECT 1 FROM run_live WHERE job_id = former.job_id) AND (
            EXISTS (SELECT 1 FROM job_version WHERE job_id = former.job_id AND version > former.version)
            OR NOT EXISTS (SELECT 1 FROM job WHERE id = former.job_id)
        )
        LIMIT ?
    )
"""
"""A run that waits was made of the version that was present then; new ones are made of the present one."""
_FORGET_LANES = """
    DELETE FROM lane
    WHERE limit_key <> '' AND NOT open AND opened_at < ? AND id NOT IN (SELECT lane FROM run_live)
    RETURNING limit_key
"""
_FORGET_SLOTS = """
    DELETE FROM limit_slot WHERE key = ? AND NOT EXISTS (SELECT 1 FROM lane WHERE limit_key = limit_slot.key)
"""

_FORGET_BUCKETS = "DELETE FROM limit_bucket WHERE full_at < ?"
"""One that has long been full says no more than a new one."""


def tidy(db: Db, keep: Keep, now: datetime, limit: int) -> Tidied:
    boundary = oldest_kept(keep, now)
    too_much = keep.size_bytes is not None and used_bytes(db) > keep.size_bytes
    before = LAST if too_much else first_id(boundary) if boundary else ""
    gone = db.execute(_OLDEST, (before, limit)).fetchall()
    for statement in _FORGET:
        db.executemany(statement, [(run_id,) for run_id, _ in gone])
    counts = Counter(state for _, state in gone)
    uncount = "UPDATE run_count SET amount = amount - ? WHERE state = ?"
    db.executemany(uncount, [(amount, state) for state, amount in counts.items()])
    keys = _forget_keys(db, now)
    ticks = ledger.forget(db, keep, now, limit)
    expired = receipts.forget(db, now, limit)
    versions = db.execute(_FORGET_VERSIONS, (limit,)).rowcount
    return Tidied(
        keys_forgotten=keys,
        ticks_removed=ticks,
        receipts_removed=expired,
        versions_removed=versions,
        runs_removed=len(gone),
        more=limit in (len(gone), ticks, expired, versions),
    )


def _forget_keys(db: Db, now: datetime) -> int:
    """Forget limit keys that nobody uses any more."""
    keys = {key for (key,) in db.execute(_FORGET_LANES, (idle_since(now).timestamp(),)).fetchall()}
    db.executemany(_FORGET_SLOTS, [(key,) for key in sorted(keys)])
    db.execute(_FORGET_BUCKETS, (idle_since(now).timestamp(),))
    return len(keys)


def used_bytes(db: Db) -> int:
    """What the file holds, without what is free in it."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    return (pages - free) * page_bytes
