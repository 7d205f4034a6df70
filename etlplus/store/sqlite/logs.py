"""
The logs of attempts on SQLite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from etlplus.jobs.logs import LogLine, LogState, NewLine, fitted
from etlplus.store.sqlite.records import Db, moment

_HOLDS = "SELECT 1 FROM run_live WHERE id = ? AND attempt = ? AND worker_id = ? AND state = 'running'"
_STATE = "SELECT lines, kept_bytes, dropped FROM log_state WHERE run_id = ? AND attempt = ?"
_PUT_LINE = "INSERT INTO attempt_log (run_id, attempt, number, at, level, line) VALUES (?, ?, ?, ?, ?, ?)"
_LINES = """
    SELECT number, at, level, line FROM attempt_log
    WHERE run_id = ? AND attempt = ? AND number > ? AND (? IS NULL OR instr(lower(line), lower(?)) > 0)
    ORDER BY number LIMIT ?
"""
_TAIL = "SELECT number, at, level, line FROM attempt_log WHERE run_id = ? AND attempt = ? ORDER BY number DESC LIMIT ?"


def append(db: Db, run_id: str, attempt: int, worker_id: str, lines: Sequence[NewLine]) -> LogState | None:
    if db.execute(_HOLDS, (run_id, attempt, worker_id)).fetchone() is None:
        return None
    kept, after = fitted(lines, state(db, run_id, attempt))
    rows = [(run_id, attempt, line.number, line.at.timestamp(), line.level, line.text) for line in kept]
    db.executemany(_PUT_LINE, rows)
    values = (run_id, attempt, after.lines, after.kept_bytes, after.dropped)
    db.execute("INSERT OR REPLACE INTO log_state VALUES (?, ?, ?, ?, ?)", values)
    return after


def state(db: Db, run_id: str, attempt: int) -> LogState:
    row = db.execute(_STATE, (run_id, attempt)).fetchone()
    return LogState(*row) if row else LogState()


def read(db: Db, run_id: str, attempt: int, after: int, search: str | None, limit: int) -> list[LogLine]:
    return _lines(db.execute(_LINES, (run_id, attempt, after, search, search, limit)))


def tail(db: Db, run_id: str, attempt: int, limit: int) -> list[LogLine]:
    return _lines(reversed(db.execute(_TAIL, (run_id, attempt, limit)).fetchall()))


def _lines(rows: Iterable[Any]) -> list[LogLine]:
    return [LogLine(number=number, at=moment(at), level=level, text=text) for number, at, level, text in rows]
