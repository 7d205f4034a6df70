"""The exam on failure: how long a run may wait, when it is tried again, and when it is not."""

from __future__ import annotations

from etlplus.jobs.model import ErrorRule, RetryPolicy, RunState
from etlplus.jobs.outcome import Failed, Returned, RunError
from etlplus.store.contract import Store
from etlplus.testing.stores import BROKEN, DONE, NOW, a_claim, a_job, a_worker, at, some_runs, told


async def test_nobody_waits_in_the_queue_longer_than_the_job_allows(store: Store) -> None:
    """Unclaimed for so long it has failed; claimed in time, the wait is over, however long the attempt takes."""
    job = await a_job(store, queue_timeout_s=30)
    taken, left = await some_runs(store, job, 2)
    (later,) = await some_runs(store, job, run_at=at(1000))
    await a_worker(store, expires_s=1000)
    assert [each.run.id for each in await a_claim(store)] == [taken.id]
    assert (await store.queued_hint()).due_at == at(30)
    assert await store.tick(now=at(29.9)) == []
    (late,) = await store.tick(now=at(30))
    assert (late.id, late.state, late.error and late.error.code) == (left.id, RunState.FAILED, "queue_timeout")
    assert late.finished_at == at(30)
    assert (await store.run(taken.id)).state is RunState.RUNNING
    assert (await store.run(later.id)).state is RunState.SCHEDULED
    assert [event.kind for event in await store.events(left.id)] == ["enqueued", "timed_out"]


async def test_every_wait_in_the_queue_counts_for_itself(store: Store) -> None:
    """Given back, a run waits anew; a retry that backs off waits from when it is due."""
    job = await a_job(store, queue_timeout_s=30, retry=RetryPolicy(base_s=100, jitter=0))
    await some_runs(store, job)
    await a_worker(store, expires_s=1000)
    (claimed,) = await a_claim(store, seconds=20)
    await told(store, claimed, Returned("drain"), seconds=25)
    assert await store.tick(now=at(54)) == []
    (claimed,) = await a_claim(store, seconds=54)
    await told(store, claimed, BROKEN, seconds=60)
    assert [run.state for run in await store.tick(now=at(160))] == [RunState.QUEUED]
    assert [run.state for run in await store.tick(now=at(190))] == [RunState.FAILED]


async def test_a_run_has_a_deadline_over_all_its_tries(store: Store) -> None:
    """No retry begins after it, and what still waits then has failed; what is done in time is done."""
    job = await a_job(store, total_timeout_s=100, retry=RetryPolicy(base_s=60, jitter=0, kind="fixed"))
    first, second, third = await some_runs(store, job, 3)
    assert first.deadline_at == at(100)
    await a_worker(store, expires_s=1000)
    one, two = await a_claim(store, limit=2)
    retried = await told(store, one, BROKEN, seconds=30)
    assert retried.run is not None
    assert retried.run.state is RunState.SCHEDULED
    ended = await told(store, two, BROKEN, seconds=41)
    assert ended.run is not None
    assert (ended.run.id, ended.run.state, ended.run.attempts_spent) == (second.id, RunState.FAILED, 1)
    await store.tick(now=at(90))
    (again,) = await a_claim(store, seconds=99)
    assert again.run.id == third.id
    assert (await told(store, again, DONE, seconds=101)).applied
    (late,) = await store.tick(now=at(101))
    assert (late.id, late.error and late.error.code) == (first.id, "total_timeout")


async def test_rules_of_the_job_decide_about_an_error(store: Store) -> None:
    """One code is never tried again, another always, and a source may say when."""
    rules = (ErrorRule(codes=("bad_password",), retry=False), ErrorRule(codes=("busy",), base_s=7))
    job = await a_job(store, retry=RetryPolicy(jitter=0, rules=rules))
    await some_runs(store, job, 3)
    await a_worker(store, expires_s=1000)
    wrong, busy, throttled = await a_claim(store, limit=3)
    end = await told(store, wrong, Failed(RunError("bad_password", "no", retryable=True)), seconds=0)
    assert end.run is not None
    assert end.run.state is RunState.FAILED
    end = await told(store, busy, Failed(RunError("busy", "no")), seconds=0)
    assert end.run is not None
    assert (end.run.state, end.run.run_at) == (RunState.SCHEDULED, at(7))
    end = await told(
        store, throttled, Failed(RunError("data_error", "wait", retryable=True, retry_after_s=500)), seconds=0
    )
    assert end.run is not None
    assert end.run.run_at == at(500)
    assert at(7) > NOW
