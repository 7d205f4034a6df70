"""
The one way in which transitions are written on SQLite, and what else has to happen with them: slots are freed by the unit that
ends an attempt, and lanes with a limit key are opened whenever something comes in or a slot is freed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from etlplus.jobs.model import Run, RunState
from etlplus.jobs.queues import has_lanes
from etlplus.store.kept import Entry, letter_code, told
from etlplus.store.sqlite.records import Db, encode

_GO = "DELETE FROM run_live WHERE id = ? AND attempt = ? AND revision = ?"
_FINISHED = "INSERT INTO run (id, job_id, state, queue, doc) VALUES (?, ?, ?, ?, ?)"
_TELL = "INSERT INTO run_event (run_id, version, doc, attempt) VALUES (?, ?, ?, ?)"
_LETTER = "INSERT INTO dead_letter (run_id, job_id, queue, code, failed_at) VALUES (?, ?, ?, ?, ?)"
_COUNT = "INSERT INTO run_count VALUES (?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
_CHANGE = """
    UPDATE run_live SET
        state = ?, rank_at = ?, run_at = ?, waits_until = ?, attempt = ?, cancel_requested = ?, doc = ?,
        revision = revision + 1,
        worker_id = iif(?, worker_id, NULL), claimed_at = iif(?, claimed_at, NULL), slotted = slotted AND ?
    WHERE id = ? RETURNING lane
"""
_FREE = "UPDATE limit_slot SET run_id = NULL WHERE run_id IN (SELECT value FROM json_each(?)) RETURNING key"
_OPEN = """
    UPDATE lane SET open = true, opened_at = ?
    WHERE {} = ? AND limit_key <> '' AND NOT open AND ready_at IS NULL
"""
_OPEN_KEY = _OPEN.format("limit_key")
_OPEN_LANE = _OPEN.format("id")


def record(db: Db, entries: Sequence[Entry], now: datetime) -> list[Run]:
    """Write transitions; the runs as they are now, in the order given."""
    finish(db, [each for each in entries if each.run.state.is_final], now)
    for each in entries:
        if not each.run.state.is_final:
            _change(db, each, now)
    free(db, [each.run.id for each in entries if each.frees], now)
    return [each.run for each in entries]


def finish(db: Db, entries: Sequence[Entry], now: datetime) -> set[str]:
    """Write the ends of runs; names those whose lines were as ``Entry.kept`` says, the others are left alone."""
    gone = [each for each in entries if each.kept and db.execute(_GO, _line(each)).rowcount]
    finished = [(each.run.id, each.run.job_id, each.run.state, each.run.queue, encode(each.run)) for each in gone]
    db.executemany(_FINISHED, finished)
    _tell(db, gone)
    letters = [(each.run.id, each.run.job_id, each.run.queue, code) for each in gone if (code := letter_code(each.run))]
    db.executemany(_LETTER, [(*letter, now.timestamp()) for letter in letters])
    db.executemany(_COUNT, Counter(each.run.state for each in gone).items())
    return {each.run.id for each in gone}


def _line(each: Entry) -> tuple[str, int, int]:
    assert each.kept is not None
    return each.run.id, each.kept.attempt, each.kept.revision


def _tell(db: Db, entries: Iterable[Entry]) -> None:
    rows = [
        (each.run.id, each.run.version, encode(told(each.events)), encode(each.ended) if each.ended else None)
        for each in entries
    ]
    db.executemany(_TELL, rows)


def _change(db: Db, each: Entry, now: datetime) -> None:
    run = each.run
    held = run.state is RunState.RUNNING
    values = (
        run.state,
        run.rank_at.timestamp(),
        run.run_at.timestamp(),
        run.waits_until.timestamp() if run.waits_until else None,
        run.attempt,
        run.cancel_requested,
        encode(run),
    )
    (lane,) = db.execute(_CHANGE, (*values, held, held, held, run.id)).fetchone()
    _tell(db, [each])
    if run.limit_key and run.state is RunState.QUEUED:
        db.execute(_OPEN_LANE, (now.timestamp(), lane))


def free(db: Db, run_ids: Sequence[str], now: datetime) -> None:
    """Give back the slots of runs that are not carried any more."""
    keys = {key for (key,) in db.execute(_FREE, (encode(run_ids).decode(),)).fetchall()} if run_ids else set[str]()
    db.executemany(_OPEN_KEY, [(now.timestamp(), key) for key in sorted(filter(has_lanes, keys))])
