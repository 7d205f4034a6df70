"""The exam on retention: what is too old or too much goes with all that belongs to it, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random

import pytest
import trio

from etlplus.errors import NotFound
from etlplus.jobs.ids import Ids
from etlplus.jobs.letters import LetterFilter
from etlplus.jobs.logs import NewLine
from etlplus.jobs.model import Job, JobDraft, Run, RunState, Uniqueness
from etlplus.jobs.outcome import Failed, Result, RunError
from etlplus.jobs.queues import LimitDraft, LimitUse
from etlplus.jobs.retention import DAY_S, LEDGER_SHARE, LINE_BYTES, Keep, week_of
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.postgres import tidying
from etlplus.store.postgres.bridge import Db, open_bridge
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, at, some_runs, told

WEEK_S = 7 * DAY_S
HANG_S = 40.0
"""Far more than anything here takes: who is still waiting then would wait for ever."""
DEAD = Failed(RunError("bad", "no"))


async def a_finished_run(store: Store, job: Job, result: Result = DONE, *, seconds: float = 0) -> Run:
    """One that was made so many seconds after NOW, with a log, and has ended."""
    (run,) = await some_runs(store, job, seconds=seconds)
    await a_worker(store, expires_s=1e9)
    (claimed,) = await a_claim(store, seconds=seconds)
    await store.append_log(run.id, 1, "w", [NewLine(NOW, "x")], now=NOW)
    await told(store, claimed, result, seconds=seconds)
    return run


async def test_what_is_too_old_goes_with_all_that_belongs_to_it(store: Store) -> None:
    """The run, its events, attempts, log and key; younger runs and their count stay."""
    job = await a_job(store)
    await store.tidy(Keep(), now=NOW)
    old = await a_finished_run(store, job)
    young = await a_finished_run(store, job, seconds=5 * WEEK_S)
    tidied = await store.tidy(Keep(age_s=3 * WEEK_S), now=at(5 * WEEK_S))
    assert tidied.runs_removed == 1
    with pytest.raises(NotFound):
        await store.run(old.id)
    assert await store.events(old.id) == await store.attempts(old.id) == await store.log(old.id, 1) == []
    assert (await store.log_state(old.id, 1)).lines == 0
    assert [run.id for run in await store.runs()] == [young.id]
    assert (await store.counts()).runs["succeeded"] == 1
    assert len(await store.log(young.id, 1)) == 1
    assert (await store.tidy(Keep(age_s=3 * WEEK_S), now=at(5 * WEEK_S))).runs_removed == 0


async def test_what_is_unfinished_or_open_stays_whatever_its_age(store: Store) -> None:
    """A queued run and a dead letter that nobody resolved; once it is resolved, it goes."""
    job = await a_job(store)
    await store.tidy(Keep(), now=NOW)
    dead = await a_finished_run(store, job, DEAD)
    (waiting,) = await some_runs(store, job, seconds=3 * WEEK_S)
    later = at(10 * WEEK_S)
    assert (await store.tidy(Keep(age_s=WEEK_S), now=later)).runs_removed == 0
    assert (await store.run(dead.id)).state is RunState.FAILED
    await store.discard(LetterFilter(), reason="old", now=later)
    assert (await store.tidy(Keep(age_s=WEEK_S), now=later)).runs_removed == 1
    assert await store.dead_letters(resolved=True) == []
    assert [run.id for run in await store.runs()] == [waiting.id]
    assert [event.kind for event in await store.events(waiting.id)] == ["enqueued"]


async def test_without_a_bound_nothing_goes(store: Store) -> None:
    """Keep everything means that."""
    await a_finished_run(store, await a_job(store))
    assert (await store.tidy(Keep(age_s=None), now=at(1000 * WEEK_S))).runs_removed == 0


async def test_a_key_whose_run_is_gone_is_free(store: Store) -> None:
    """However long it was to hold."""
    job = await a_job(store)
    await store.tidy(Keep(), now=NOW)
    rule = Uniqueness(states=tuple(RunState))
    (old,) = await some_runs(store, job, unique_key="k", unique=rule)
    await store.cancel(old.id, now=NOW)
    await store.tidy(Keep(age_s=WEEK_S), now=at(5 * WEEK_S))
    (new,) = await some_runs(store, job, unique_key="k", unique=rule, seconds=5 * WEEK_S)
    assert new.id != old.id


async def test_too_much_goes_oldest_first(store: Store) -> None:
    """A bound on the size removes old runs though they are young enough, and leaves those of the present week."""
    job = await a_job(store)
    await store.tidy(Keep(), now=NOW)
    old = await a_finished_run(store, job)
    young = await a_finished_run(store, job, seconds=2 * WEEK_S)
    tidied = await store.tidy(Keep(size_bytes=1), now=at(2 * WEEK_S), limit=1)
    assert tidied.runs_removed == 1
    assert [run.id for run in await store.runs()] == [young.id]
    assert old.id < young.id
    assert (await store.tidy(Keep(size_bytes=10**12), now=at(2 * WEEK_S))).runs_removed == 0


async def test_a_limit_key_that_nobody_uses_is_forgotten(store: Store) -> None:
    """Not while a run of it waits, backs off or runs; made anew, it has all its slots."""
    await store.save_limit(LimitDraft(name="day", slots=1), now=NOW)
    job = await a_job(store, limit=LimitUse("day", by="day"))
    done, waiting, delayed = [
        (await some_runs(store, job, params={"day": day}, run_at=run_at))[0]
        for day, run_at in (("a", None), ("b", None), ("c", at(1e6)))
    ]
    await a_worker(store, expires_s=1e9)
    (first, second) = await a_claim(store, limit=9)
    assert [first.run.id, second.run.id] == [done.id, waiting.id]
    await told(store, first, DONE)
    assert await a_claim(store, limit=9) == []
    assert (await store.tidy(Keep(), now=at(3000))).keys_forgotten == 0
    assert (await store.tidy(Keep(), now=at(4000))).keys_forgotten == 1
    await some_runs(store, job, 2, params={"day": "a"}, seconds=4000)
    assert len(await a_claim(store, limit=9, seconds=4000)) == 1
    await store.tick(now=at(1e6))
    assert [each.run.id for each in await a_claim(store, limit=9, seconds=1e6)] == [delayed.id]


async def test_weeks_have_partitions_of_their_own(new_database: Callable[[], str]) -> None:
    """Made ahead, moved into when rows were there before, and dropped whole; what has no week goes run by run."""
    address = new_database()

    async def weeks() -> list[str]:
        query = (
            "SELECT relname FROM pg_class WHERE relname ~ '^(run|run_event|attempt_log)_w' AND relkind = 'r' ORDER BY 1"
        )
        async with open_bridge(address, "etlplus") as bridge:
            return [row["relname"] for row in await bridge.run(lambda db: db.fetch(query))]

    async with open_store(address) as store:
        job = await a_job(store)
        odd = await a_finished_run(store, job, seconds=-20 * WEEK_S)
        early = await a_finished_run(store, job)
        assert (await store.tidy(Keep(), now=NOW)).weeks_made == 3
        monday = week_of(NOW)
        names = [f"{monday + timedelta(weeks=number):w%Y%m%d}" for number in range(3)]
        assert await weeks() == [f"{table}_{name}" for table in ("attempt_log", "run_event", "run") for name in names]
        assert (await store.run(early.id)).state is RunState.SUCCEEDED
        assert len(await store.events(early.id)) == 3
        tidied = await store.tidy(Keep(age_s=WEEK_S), now=at(3 * WEEK_S))
        assert (tidied.weeks_made, tidied.weeks_dropped, tidied.runs_removed) == (3, 2, 2)
        with pytest.raises(NotFound):
            await store.run(odd.id)
        assert await store.runs() == []


async def test_the_tick_ledger_has_a_share_of_the_size(store: Store) -> None:
    """Beyond it the oldest lines go, a batch at a time; those of the last day stay, so that no clock decides again."""
    job = await a_job(store, schedule=IntervalSchedule(every_s=DAY_S))
    for day in range(1, 41):
        await store.tick(now=at(day * DAY_S))
    assert len(await store.ticks(job.id)) == 40
    keep = Keep(age_s=None, size_bytes=int(10 * LINE_BYTES / LEDGER_SHARE))
    last = at(40 * DAY_S)
    removed = [await store.tidy(keep, now=last, limit=20) for _ in range(3)]
    assert [(each.ticks_removed, each.more) for each in removed] == [(20, True), (9, False), (0, False)]
    kept = await store.ticks(job.id)
    assert [line.nominal_at for line in kept] == [at(day * DAY_S) for day in range(40, 29, -1)]
    await store.tidy(Keep(age_s=None, size_bytes=1), now=last)
    assert [line.nominal_at for line in await store.ticks(job.id)] == [last, at(39 * DAY_S)]
    await store.tidy(Keep(age_s=WEEK_S, size_bytes=10**12), now=at(60 * DAY_S))
    assert await store.ticks(job.id) == []


async def test_versions_of_a_job_go_when_no_run_needs_them(store: Store) -> None:
    """The present one stays, and so do all while a run is unfinished; of a job that is deleted, none stays."""
    job = await a_job(store)
    (waiting,) = await some_runs(store, job)
    for version in range(2, 5):
        await store.save_job(JobDraft(name="job", pipeline={"v": version}), now=NOW, job_id=job.id)
    assert (await store.tidy(Keep(), now=NOW)).versions_removed == 0
    await a_worker(store)
    (held,) = await a_claim(store)
    assert (held.run.id, held.job.version) == (waiting.id, 1)
    assert (await store.tidy(Keep(), now=NOW)).versions_removed == 0
    await told(store, held, DONE)
    rounds = [(await store.tidy(Keep(), now=NOW, limit=2)).versions_removed for _ in range(3)]
    assert rounds == [2, 1, 0]
    await some_runs(store, job)
    (held,) = await a_claim(store)
    assert (held.job.version, held.job.pipeline) == (4, {"v": 4})
    await told(store, held, DONE)
    await store.delete_job(job.id, now=NOW)
    assert (await store.tidy(Keep(), now=NOW)).versions_removed == 1


async def test_a_week_is_made_while_runs_of_it_end(new_database: Callable[[], str]) -> None:
    """Whoever has written into the history and not committed yet is waited for, and what he wrote moves along."""
    address, wrote, waited = new_database(), trio.Event(), trio.Event()

    async def finish(db: Db) -> None:
        await db.execute("INSERT INTO run VALUES ($1, 'j', 'succeeded', 'default', '{}')", Ids(Random(1)).new(NOW))
        wrote.set()
        while not await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
        waited.set()

    with trio.fail_after(HANG_S):
        async with (
            open_store(address) as store,
            open_bridge(address, "etlplus") as bridge,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(bridge.run, finish)
            await wrote.wait()
            assert (await store.tidy(Keep(), now=NOW)).weeks_made == 3
            assert waited.is_set()
            rest = await bridge.run(lambda db: db.fetchval("SELECT count(*) FROM run_default"))
    assert rest == 0


@pytest.mark.parametrize("table", ["run", "run_event", "attempt_log"])
async def test_whoever_reads_while_a_week_is_made_finds_what_moves_into_it(
    new_database: Callable[[], str], table: str
) -> None:
    """A query that was planned with the former partitions would look where the rows no longer are."""
    address, made = new_database(), trio.Event()

    async def make(db: Db) -> None:
        await tidying.tidy(db, Keep(), NOW, 1000, 0)
        made.set()
        while not await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass

    with trio.fail_after(HANG_S):
        async with (
            open_store(address) as store,
            open_bridge(address, "etlplus") as bridge,
            trio.open_nursery() as nursery,
        ):
            run = await a_finished_run(store, await a_job(store))
            nursery.start_soon(bridge.run, make)
            await made.wait()
            async with open_bridge(address, "etlplus") as reader:
                column = "id" if table == "run" else "run_id"
                query = f"SELECT count(*) FROM {table} WHERE {column} = $1"
                found = await reader.run(lambda db: db.fetchval(query, run.id), atomic=False)
    assert found > 0
