"""
How attempts end on SQLite: told by their worker, given back, or taken back because the worker was lost.

What this process claimed it remembers, so a success is written without reading the line again; the deletion itself checks that
the line is as that claim left it. Whatever does not fit is looked at, like every other outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from random import Random

from msgspec.structs import replace

from etlplus.jobs import transitions
from etlplus.jobs.model import Run, RunState
from etlplus.jobs.outcome import Returned, Succeeded
from etlplus.store.contract import Outcome, Settled
from etlplus.store.kept import Entry, Kept, closing
from etlplus.store.sqlite.definitions import Definitions
from etlplus.store.sqlite.enqueueing import line_of
from etlplus.store.sqlite.recording import finish, free, record
from etlplus.store.sqlite.records import KEPT, Db, kept
from etlplus.store.sqlite.repeats import gone_on, told_before
from etlplus.store.sqlite.turns import take_turns

CARRIED_MAX = 20_000
_HELD = f"SELECT {KEPT} FROM run_live WHERE worker_id = ? AND state = 'running' ORDER BY id LIMIT ?"
_STALE = "INSERT INTO counter VALUES ('stale', ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"


class Settlements:
    """The settlements of one process, with what it remembers of its claims."""

    def __init__(self, definitions: Definitions, rng: Random) -> None:
        self._definitions = definitions
        self._rng = rng
        self._carried: dict[str, Kept] = {}

    def remember(self, lines: Iterable[Kept]) -> None:
        """Keep what was claimed until its outcome comes; what never comes is forgotten in the end."""
        if len(self._carried) > CARRIED_MAX:
            self._carried.clear()
        self._carried.update((line.run.id, line) for line in lines)

    def acknowledge(self, db: Db, outcomes: Sequence[Outcome], now: datetime) -> list[Settled]:
        remembered = self._remembered(db, outcomes, now)
        gone = finish(db, list(remembered.values()), now)
        free(db, [each.run.id for each in remembered.values() if each.run.id in gone and each.frees], now)
        applied = {number: each for number, each in remembered.items() if each.run.id in gone}
        for number, outcome in enumerate(outcomes):
            if number not in applied and (looked_at := self._looked_at(db, outcome, now)):
                applied[number] = looked_at
        again = {at: each for at, each in enumerate(outcomes) if at not in applied}
        before = {at: told for at, each in again.items() if (told := told_before(db, each, now))}
        if stale := len(again) - len(before):
            db.execute(_STALE, (stale,))
        going_on = take_turns(db, self._definitions, applied.values(), now) + gone_on(db, before.values())
        released = {run.job_id: run for run in going_on}
        return [_settled(each, applied.get(at), before.get(at), released) for at, each in enumerate(outcomes)]

    def _remembered(self, db: Db, outcomes: Sequence[Outcome], now: datetime) -> dict[int, Entry]:
        """What to write for successes of remembered claims, by their place among the outcomes."""
        entries: dict[int, Entry] = {}
        for number, outcome in enumerate(outcomes):
            line = self._carried.pop(outcome.run_id, None)
            fits = line is not None and (line.attempt, line.worker_id) == (outcome.attempt, outcome.worker_id)
            if fits and line and isinstance(outcome.result, Succeeded):
                entries[number] = self._closed(db, line, outcome, now)
        return entries

    def _looked_at(self, db: Db, outcome: Outcome, now: datetime) -> Entry | None:
        line = line_of(db, outcome.run_id)
        held = (outcome.attempt, outcome.worker_id, RunState.RUNNING)
        if line is None or (line.attempt, line.worker_id, line.present.state) != held:
            return None
        closed = self._closed(db, line, outcome, now)
        record(db, [closed], now)
        return closed

    def _closed(self, db: Db, line: Kept, outcome: Outcome, now: datetime) -> Entry:
        (job,) = self._definitions.of(db, [line.run])
        change = transitions.settle(line.present, job, outcome.result, now, self._rng)
        return closing(line, change, outcome.result, now)

    def rescue(self, db: Db, now: datetime, dead: Sequence[str], limit: int) -> list[Run]:
        over = db.execute("SELECT id FROM worker WHERE expires_at <= ? ORDER BY id", (now.timestamp(),))
        rescued: list[Run] = []
        for worker_id in dict.fromkeys(dead) if dead else [row[0] for row in over]:
            lines = _held(db, worker_id, limit - len(rescued))
            entries = [closing(line, transitions.rescue(line.present, now), None, now) for line in lines]
            rescued += record(db, entries, now) + take_turns(db, self._definitions, entries, now)
            if len(rescued) >= limit:
                break
            db.execute("DELETE FROM worker WHERE id = ?", (worker_id,))
        return rescued

    def leave(self, db: Db, worker_id: str, now: datetime) -> list[Run]:
        result = Returned("the worker left")
        lines = _held(db, worker_id, -1)
        jobs = self._definitions.of(db, [line.run for line in lines])
        changes = [
            transitions.settle(line.present, job, result, now, self._rng) for line, job in zip(lines, jobs, strict=True)
        ]
        entries = [closing(line, change, result, now) for line, change in zip(lines, changes, strict=True)]
        returned = record(db, entries, now) + take_turns(db, self._definitions, entries, now)
        db.execute("DELETE FROM worker WHERE id = ?", (worker_id,))
        return returned


def passed_on(settled: Sequence[Settled], taken: int) -> list[Settled]:
    """What is told after so many runs were taken for the slots that ended runs had: if all went to others, none is free."""
    if taken < sum(each.freed for each in settled):
        return list(settled)
    return [replace(each, freed=False) for each in settled]


def _settled(outcome: Outcome, entry: Entry | None, before: Run | None, released: dict[str, Run]) -> Settled:
    """What became of an outcome, now or before; of each job, the first outcome tells of the run that goes on."""
    if entry is None:
        told, next_one = before is not None, released.pop(before.job_id, None) if before is not None else None
        return Settled(
            run_id=outcome.run_id, attempt=outcome.attempt, applied=told, run=before, released=next_one, freed=told
        )
    return Settled(
        run_id=outcome.run_id,
        attempt=outcome.attempt,
        applied=True,
        run=entry.run,
        released=released.pop(entry.run.job_id, None),
        freed=entry.frees,
    )


def _held(db: Db, worker_id: str, limit: int) -> list[Kept]:
    return [kept(row) for row in db.execute(_HELD, (worker_id, limit)).fetchall()]
