"""Jobs that cannot be read: they are set aside, with a reason that can be seen, and everything else goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from random import Random

from etlplus.jobs.explaining import Unread
from etlplus.jobs.model import JobDraft, RunState
from etlplus.jobs.outcome import Failed, RunError
from etlplus.jobs.queues import LimitDraft, LimitUse
from etlplus.jobs.reading import read_job, readable
from etlplus.jobs.schedules import CronSchedule, IntervalSchedule
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.pooling import USUAL
from etlplus.store.postgres import aside
from etlplus.store.postgres.body import open_postgres
from etlplus.store.postgres.bridge import Lane, open_bridge
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, at, some_runs, told

HOURLY = CronSchedule(cron="0 * * * *", zone="Europe/Berlin")
BERLIN, ATLANTIS = "Europe/Berlin", "Europe/Atlantis"
LATER_S = 7200


async def rewrite(address: str, old: str, new: str) -> None:
    """Put another text in the definitions of the jobs that are called bad, in all their versions."""
    bad = "WHERE {} IN (SELECT id FROM job WHERE name LIKE 'bad%')"
    if address.startswith("sqlite:"):
        with sqlite3.connect(address.removeprefix("sqlite:")) as db:
            for table, column in (("job", "id"), ("job_version", "job_id")):
                change = f"UPDATE {table} SET doc = CAST(replace(CAST(doc AS TEXT), ?, ?) AS BLOB) {bad.format(column)}"
                db.execute(change, (old, new))
        db.close()
        return
    async with open_bridge(address, "etlplus") as bridge:
        for table, column in (("job", "id"), ("job_version", "job_id")):
            change = f"UPDATE {table} SET doc = replace(doc::text, $1, $2)::json {bad.format(column)}"
            await bridge.run(lambda db, change=change: db.execute(change, old, new))


async def names_of_runs(store: Store) -> list[str]:
    return sorted(run.job_name for run in await store.runs())


async def test_a_schedule_that_cannot_be_read_holds_up_no_other(lasting: str) -> None:
    """It makes no runs and says why; the others do. Whoever can read it again goes on with it."""
    async with open_store(lasting) as store:
        await a_job(store, name="bad", schedule=HOURLY)
        await a_job(store, name="good", schedule=HOURLY)
    await rewrite(lasting, BERLIN, ATLANTIS)
    async with open_store(lasting) as store:
        assert (await store.queued_hint()).due_at == at(3479)
        await store.tick(now=at(LATER_S))
        assert await names_of_runs(store) == ["good"]
        bad, good = await store.jobs()
        assert bad.fault is not None
        assert ATLANTIS in bad.fault
        assert (bad.paused, bad.schedule, good.fault) == (True, None, None)
        assert (await store.queued_hint()).due_at == good.next_at
    await rewrite(lasting, ATLANTIS, BERLIN)
    async with open_store(lasting) as store:
        await store.tick(now=at(LATER_S))
        assert await names_of_runs(store) == ["bad", "good"]
        assert (await store.job_named("bad") or bad).fault is None


async def test_what_is_no_job_at_all_holds_up_no_other_either(lasting: str) -> None:
    """Nothing can be shown of it, but the others tick."""
    async with open_store(lasting) as store:
        for name in ("bad1", "bad2", "good"):
            await a_job(store, name=name, schedule=HOURLY)
    await rewrite(lasting, '"created_at"', '"made_at"')
    async with open_store(lasting) as store:
        await store.tick(now=at(LATER_S), limit=3)
        assert await names_of_runs(store) == ["good"]
        assert (await store.job_named("good")) is not None
        await store.tick(now=at(2 * LATER_S), limit=1)
        assert await names_of_runs(store) == ["good", "good"], "once set aside, they take nobody's place in a tick"


async def test_runs_of_such_a_job_are_carried_and_it_can_be_defined_anew(lasting: str) -> None:
    """Only the schedule is out of use: by hand it runs, its runs end, and a new definition is as good as any."""
    async with open_store(lasting) as store:
        job = await a_job(store, name="bad", schedule=HOURLY)
        await some_runs(store, job)
    await rewrite(lasting, BERLIN, ATLANTIS)
    async with open_store(lasting) as store:
        await some_runs(store, job)
        await a_worker(store, expires_s=1e6)
        for _ in range(2):
            (held,) = await a_claim(store)
            assert (await told(store, held, DONE)).applied
        assert {run.state for run in await store.runs()} == {RunState.SUCCEEDED}
        await store.tick(now=at(LATER_S))
        draft = JobDraft(name="bad", pipeline={}, schedule=HOURLY)
        saved = await store.save_job(draft, now=at(LATER_S), job_id=job.id, expected_version=1)
        assert (saved.version, saved.fault) == (2, None)
        await store.tick(now=at(2 * LATER_S))
        assert len(await store.runs()) == 3


async def test_a_run_whose_definition_cannot_be_read_is_set_aside_and_the_others_are_claimed(lasting: str) -> None:
    """It holds no slot, says why, and can be cancelled; whoever can read it again carries it."""
    async with open_store(lasting) as store:
        await store.save_limit(LimitDraft(name="one", slots=1), now=NOW)
        bad, good = [await a_job(store, name=name, limit=LimitUse("one")) for name in ("bad", "good")]
        aside, unwanted = await some_runs(store, bad, 2)
        (run,) = await some_runs(store, good, seconds=1)
    await rewrite(lasting, '"created_at"', '"made_at"')
    async with open_store(lasting) as store:
        await a_worker(store)
        for _ in (aside, unwanted):
            nothing_yet = await store.claim("w", limit=1, now=at(2))
            assert (nothing_yet.claimed, nothing_yet.next_at) == ([], at(2)), "another claim may find something at once"
        (held,) = await a_claim(store, seconds=2)
        assert held.run.id == run.id
        assert (await told(store, held, DONE, seconds=3)).applied
        assert await a_claim(store, seconds=4) == []
        unread, *_ = (await store.explain(aside.id, now=at(4))).facts
        assert isinstance(unread, Unread)
        assert "created_at" in unread.fault
        (cancelled,) = await store.cancel(unwanted.id, now=at(5))
        assert (cancelled.state, (await store.run(aside.id)).state) == (RunState.CANCELLED, RunState.QUEUED)
    await rewrite(lasting, '"made_at"', '"created_at"')
    async with open_store(lasting) as store:
        assert (await store.explain(aside.id, now=at(6))).facts == ()
        (held,) = await a_claim(store, seconds=6)
        assert (held.run.id, held.run.attempt) == (aside.id, 1)
        assert (await told(store, held, DONE, seconds=7)).applied


async def test_what_somebody_has_changed_since_the_claim_is_not_set_aside(new_database: Callable[[], str]) -> None:
    """On PostgreSQL that is a unit after the claim: a run that is to be cancelled by then is left to the attempt that was begun."""
    address = new_database()
    async with open_store(address) as store:
        (run,) = await some_runs(store, await a_job(store, name="bad"))
    await rewrite(address, '"created_at"', '"made_at"')
    async with open_postgres(address, Random(1), USUAL) as store:
        await a_worker(store)
        taken, lines = await store._claims.claim("w", 1, at(1), False)
        await store.cancel(run.id, now=at(2))
        unit = partial(aside.set_aside, taken=taken, lines=lines, now=at(3))
        left, _ = await store._bridge.run(unit, Lane.CLAIM)
        assert [each.run.id for each in left.claimed] == [run.id]
        settled = await told(store, left.claimed[0], Failed(RunError("internal", "no")), seconds=4)
        assert settled.run is not None
        assert settled.run.state is RunState.CANCELLED


async def test_a_run_of_a_kind_that_this_program_does_not_know_is_set_aside(lasting: str) -> None:
    """An attempt of such a run that is in hand already ends as it should."""
    async with open_store(lasting) as store:
        job = await a_job(store, name="bad")
        first, second = await some_runs(store, job, 2)
        await a_worker(store)
        (held,) = await a_claim(store, seconds=1)
    await rewrite(lasting, '"pipeline"', '"plan"')
    async with open_store(lasting) as store:
        assert await a_claim(store, seconds=2) == []
        settled = await told(store, held, Failed(RunError("load", "no", retryable=True)), seconds=3)
        assert (settled.applied, (await store.run(first.id)).state) == (True, RunState.SCHEDULED)
        assert isinstance((await store.explain(second.id, now=at(4))).facts[0], Unread)


def test_only_the_schedule_of_a_definition_is_left_out() -> None:
    """What is no document of a job at all is an error."""
    doc = (
        '{"id":"j","name":"job","version":3,"command":{"argv":["true"]},"created_at":"2026-05-04T03:02:01Z",'
        '"updated_at":"2026-05-04T03:02:01Z","next_at":"2026-05-04T04:00:00Z","schedule":{"kind":"by moon"}}'
    )
    job = read_job(doc)
    assert (job.version, job.kind, job.schedule, job.next_at, job.paused) == (3, "command", None, None, True)
    assert "by moon" in (job.fault or "")
    good = doc.replace('"kind":"by moon"', '"kind":"interval","every_s":60')
    jobs, faults = readable([("a", doc), ("b", good), ("c", "{"), ("d", '{"id": 1}')])
    assert [each.schedule for each in jobs] == [IntervalSchedule(every_s=60)]
    assert faults.pop("a") == job.fault
    assert {key: said.startswith("it cannot be read") for key, said in faults.items()} == {"c": True, "d": True}
