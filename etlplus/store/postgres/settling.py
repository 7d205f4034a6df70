"""
How attempts end on PostgreSQL: told by their worker, given back, or taken back because the worker was lost.

What this process claimed it remembers, so a success is written by one statement, without looking first: the statement itself
checks that the line is as that claim left it. Whatever does not fit, because somebody cancelled meanwhile or the run was
rescued, is looked at under lock, like every other outcome; so of an acknowledgement, a rescue and a cancellation that come at
once, each sees what the one before it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from random import Random
from typing import Any

from etlplus.jobs import transitions
from etlplus.jobs.model import Job, Run
from etlplus.jobs.outcome import Returned, Succeeded
from etlplus.store.contract import Claimed, Outcome, Settled
from etlplus.store.kept import Entry, Kept, closing
from etlplus.store.postgres.bridge import Bridge, Db, Lane
from etlplus.store.postgres.claiming import Claims, Haul, Wish
from etlplus.store.postgres.definitions import Definitions
from etlplus.store.postgres.recording import ends, finish, open_lanes, record, told_of
from etlplus.store.postgres.records import kept
from etlplus.store.postgres.repeats import gone_on, told_before
from etlplus.store.postgres.sql import bulletins, claims, schedules
from etlplus.store.postgres.sql import runs as sql
from etlplus.store.postgres.turns import take_turns
from etlplus.store.scheduling import concerns_schedule

CARRIED_MAX = 20_000
ALL = 2**31 - 1


class Settlements:
    """The settlements of one process, with what it remembers of its claims."""

    def __init__(self, bridge: Bridge, definitions: Definitions, claims: Claims, rng: Random, shard: int) -> None:
        self._bridge = bridge
        self._definitions = definitions
        self._claims = claims
        self._rng = rng
        self._shard = shard
        self._carried: dict[str, tuple[Kept, Job]] = {}

    def remember(self, claimed: Iterable[Claimed], lines: Iterable[Kept]) -> None:
        """Keep what was claimed until its outcome comes; what never comes is forgotten in the end."""
        if len(self._carried) > CARRIED_MAX:
            self._carried.clear()
        for each, line in zip(claimed, lines, strict=True):
            self._carried[line.run.id] = line, each.job

    async def acknowledge(self, outcomes: Sequence[Outcome], now: datetime) -> list[Settled]:
        remembered, applied = self._remembered(outcomes, now), dict[int, Entry]()
        if _all_plain(outcomes, remembered):
            # A single statement is a transaction of its own.
            write = partial(self._finish, entries=remembered, now=now)
            applied = await self._bridge.run(write, Lane.SETTLE, atomic=False)
            remembered = {}
        before, released = dict[int, Run](), list[Run]()
        if rest := {number: each for number, each in enumerate(outcomes) if number not in applied}:
            settle = partial(self._settle, outcomes=rest, remembered=remembered, now=now)
            settled, before, released = await self._bridge.run(settle, Lane.SETTLE)
            applied |= settled
        of_job = {run.job_id: run for run in released}
        return [_settled(each, applied.get(at), before.get(at), of_job) for at, each in enumerate(outcomes)]

    async def hand_over(
        self, outcomes: Sequence[Outcome], wish: Wish, now: datetime
    ) -> tuple[list[Settled], Haul | None]:
        """The same for the first outcomes; and what was taken for the slots that this frees, if one statement could do both."""
        outcomes = outcomes[: self._claims.passing_max]
        carried = {each.run_id: self._carried[each.run_id] for each in outcomes if each.run_id in self._carried}
        remembered = self._remembered(outcomes, now)
        if not _all_plain(outcomes, remembered):
            self._carried |= carried
            return await self.acknowledge(outcomes, now), None
        entries = list(remembered.values())
        told, haul = await self._claims.hand_over(wish, ends(entries), self._shard, now)
        gone, freed = told_of(entries, told)
        late = [each for each in outcomes if each.run_id not in gone]
        others = iter(await self.acknowledge(late, now) if late else [])
        settled = [
            _settled(each, entry, None, {}, freed=bool(freed)) if each.run_id in gone else next(others)
            for each, entry in zip(outcomes, entries, strict=True)
        ]
        return settled, haul

    async def _settle(
        self, db: Db, outcomes: dict[int, Outcome], remembered: dict[int, Entry], now: datetime
    ) -> tuple[dict[int, Entry], dict[int, Run], list[Run]]:
        """What was applied of these outcomes; the runs of those that were told before; the runs that go on because of it."""
        await self._lock_jobs(db, outcomes, remembered)
        applied = await self._finish(db, remembered, now) if remembered else {}
        if rest := {number: outcome for number, outcome in outcomes.items() if number not in applied}:
            applied |= await self._looked_at(db, rest, now)
        again = {number: outcome for number, outcome in outcomes.items() if number not in applied}
        before = await told_before(db, again, now)
        if stale := len(again) - len(before):
            await db.execute(sql.ADD_STALE, self._shard, stale)
        released = await take_turns(db, self._definitions, applied.values(), self._shard, now)
        return applied, before, released + await gone_on(db, before.values())

    async def _finish(self, db: Db, entries: dict[int, Entry], now: datetime) -> dict[int, Entry]:
        """Write what is remembered; those whose lines were not as remembered are missing from the answer."""
        gone, freed = await finish(db, list(entries.values()), self._shard, now)
        await open_lanes(db, freed, [], now)
        return {number: each for number, each in entries.items() if each.run.id in gone}

    async def _lock_jobs(self, db: Db, outcomes: Mapping[int, Outcome], remembered: Mapping[int, Entry]) -> None:
        """Lock the jobs of schedules' runs, before their lines."""
        plain = {number for number, each in remembered.items() if not concerns_schedule(each)}
        if asking := [outcome.run_id for number, outcome in outcomes.items() if number not in plain]:
            await db.fetch(schedules.LOCK_JOBS_OF_RUNS, asking)

    def _remembered(self, outcomes: Sequence[Outcome], now: datetime) -> dict[int, Entry]:
        """What to write for successes of remembered claims, by their place among the outcomes."""
        entries: dict[int, Entry] = {}
        for number, outcome in enumerate(outcomes):
            line, job = self._carried.pop(outcome.run_id, (None, None))
            fits = line is not None and (line.attempt, line.worker_id) == (outcome.attempt, outcome.worker_id)
            if fits and line and job and isinstance(outcome.result, Succeeded):
                change = transitions.settle(line.present, job, outcome.result, now, self._rng)
                entries[number] = closing(line, change, outcome.result, now)
        return entries

    async def _looked_at(self, db: Db, outcomes: dict[int, Outcome], now: datetime) -> dict[int, Entry]:
        """Settle outcomes under lock; those that are not held are missing from the answer."""
        lines = await _lines(db, claims.HELD_RUNS, sorted({outcome.run_id for outcome in outcomes.values()}))
        held = {(line.run.id, line.attempt, line.worker_id): line for line in lines}
        entries: dict[int, Entry] = {}
        for number, outcome in outcomes.items():
            line = held.pop((outcome.run_id, outcome.attempt, outcome.worker_id or None), None)
            if line is not None:  # told twice, the second is stale
                (job,) = await self._definitions.of(db, [line.run])
                change = transitions.settle(line.present, job, outcome.result, now, self._rng)
                entries[number] = closing(line, change, outcome.result, now)
        await record(db, list(entries.values()), self._shard, now)
        return entries

    async def rescue(self, db: Db, now: datetime, dead: Sequence[str], limit: int) -> list[Run]:
        found = [row["id"] for row in await db.fetch(claims.WORKERS_LOST, now, list(dead))]
        lost = sorted({*found, *dead})
        await db.fetch(schedules.LOCK_JOBS_OF_WORKERS, lost)
        lines = await _lines(db, claims.HELD_BY_WORKERS, lost, limit)
        entries = [closing(line, transitions.rescue(line.present, now), None, now) for line in lines]
        rescued = await record(db, entries, self._shard, now)
        rescued += await take_turns(db, self._definitions, entries, self._shard, now)
        await db.execute(claims.FORGET_WORKERS, lost)
        await db.execute(bulletins.FORGET)
        return rescued

    async def leave(self, db: Db, worker_id: str, now: datetime) -> list[Run]:
        await db.execute(claims.LOCK_WORKER, worker_id)
        await db.fetch(schedules.LOCK_JOBS_OF_WORKERS, [worker_id])
        result = Returned("the worker left")
        lines = await _lines(db, claims.HELD_BY_WORKERS, [worker_id], ALL)
        jobs = await self._definitions.of(db, [line.run for line in lines])
        changes = [
            transitions.settle(line.present, job, result, now, self._rng) for line, job in zip(lines, jobs, strict=True)
        ]
        entries = [closing(line, change, result, now) for line, change in zip(lines, changes, strict=True)]
        returned = await record(db, entries, self._shard, now)
        returned += await take_turns(db, self._definitions, entries, self._shard, now)
        await db.execute(claims.FORGET_WORKERS, [worker_id])
        await db.execute(bulletins.FORGET)
        return returned


def _all_plain(outcomes: Sequence[Outcome], remembered: Mapping[int, Entry]) -> bool:
    """Whether what is remembered of all these is all there is to write."""
    return 0 < len(remembered) == len(outcomes) and not any(_concerns_others(each) for each in remembered.values())


def _concerns_others(entry: Entry) -> bool:
    """Whether more has to be written than the end of the run itself: jobs that wait for it, lanes that open."""
    return concerns_schedule(entry) or bool(entry.run.limit_key)


def _settled(
    outcome: Outcome, entry: Entry | None, before: Run | None, released: dict[str, Run], *, freed: bool = True
) -> Settled:
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
        freed=freed and entry.frees,
    )


async def _lines(db: Db, query: str, *values: Any) -> list[Kept]:
    return [kept(row) for row in await db.fetch(query, *values)]
