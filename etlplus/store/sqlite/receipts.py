"""
Requests that take effect once, on SQLite.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from etlplus.errors import Conflict
from etlplus.jobs.receipts import Answer, Once, Receipt
from etlplus.store.sqlite.records import Db, decode, encode, moment

_LEAVE = """
    INSERT INTO receipt (principal, key, route, fingerprint, done_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (principal, key) DO UPDATE SET
        route = excluded.route, fingerprint = excluded.fingerprint, done_at = excluded.done_at,
        expires_at = excluded.expires_at, made = '[]', status = NULL, headers = NULL, body = NULL
    WHERE receipt.expires_at <= excluded.done_at
    RETURNING true
"""
_FIND = """
    SELECT route, fingerprint, made, status, headers, body, done_at FROM receipt
    WHERE principal = ? AND key = ? AND expires_at > ?
"""
_KEEP_ANSWER = """
    INSERT INTO receipt (principal, key, route, fingerprint, done_at, expires_at, status, headers, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (principal, key) DO UPDATE SET status = excluded.status, headers = excluded.headers, body = excluded.body
    WHERE receipt.fingerprint = excluded.fingerprint AND receipt.status IS NULL
"""
_FORGET = """
    DELETE FROM receipt WHERE (principal, key) IN (
        SELECT principal, key FROM receipt WHERE expires_at <= ? ORDER BY expires_at LIMIT ?
    )
"""


def leave(db: Db, once: Once) -> None:
    """Write the receipt of this unit, or raise Conflict (``already_done``) if the key has one."""
    if db.execute(_LEAVE, _row(once)).fetchone() is None:
        raise Conflict(f"the request with the key {once.key!r} was carried out before", code="already_done")


def name_made(db: Db, once: Once, run_ids: Sequence[str]) -> None:
    """Write into the receipt which runs answer the request."""
    naming = "UPDATE receipt SET made = ? WHERE principal = ? AND key = ?"
    db.execute(naming, (encode(run_ids), once.principal, once.key))


def find(db: Db, once: Once) -> Receipt | None:
    row = db.execute(_FIND, (once.principal, once.key, once.at.timestamp())).fetchone()
    if row is None:
        return None
    route, fingerprint, made, status, headers, body, done_at = row
    answer = None
    if status is not None:
        answer = Answer(status=status, headers=decode(dict[str, str], headers), body=body)
    return Receipt(
        route=route, fingerprint=fingerprint, done_at=moment(done_at), made=decode(tuple[str, ...], made), answer=answer
    )


def keep_answer(db: Db, once: Once, answer: Answer) -> None:
    db.execute(_KEEP_ANSWER, (*_row(once), answer.status, encode(answer.headers), answer.body))


def forget(db: Db, now: datetime, limit: int) -> int:
    """Remove receipts that have expired, the oldest first; how many."""
    return db.execute(_FORGET, (now.timestamp(), limit)).rowcount


def _row(once: Once) -> tuple[Any, ...]:
    return once.principal, once.key, once.route, once.fingerprint, once.at.timestamp(), once.expires_at.timestamp()
