"""A short life of a store in which each of its calls is made at least once: for tests of what lies beneath it."""

from __future__ import annotations

from datetime import timedelta

from etlplus.jobs.letters import LetterFilter
from etlplus.jobs.logs import NewLine
from etlplus.jobs.model import JobDraft, NewRun, RetryPolicy
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse, QueueDraft, QueueMode
from etlplus.jobs.rates import Rate
from etlplus.jobs.receipts import Answer, Once
from etlplus.jobs.retention import Keep
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.jobs.users import UserDraft
from etlplus.store.contract import Outcome, RunFilter, Store, Unfinished
from etlplus.testing.stores import BROKEN, DONE, NOW, a_claim, a_job, a_worker, all_told, at, some_runs, told

ONCE = RetryPolicy(attempts_max=1)
TWICE = RetryPolicy(attempts_max=2, base_s=1, jitter=0)


async def define(store: Store) -> None:
    """Queues, limits, jobs, users: made, changed, read and forgotten."""
    for name in ("nightly", "spare"):
        await store.save_queue(QueueDraft(name=name, slots=3), now=NOW)
    await store.set_queue_mode("nightly", QueueMode.PAUSED, now=NOW)
    await store.set_queue_mode("nightly", QueueMode.OPEN, now=NOW)
    await store.delete_queue("spare", now=NOW)
    for name in ("api", "spare"):
        await store.save_limit(LimitDraft(name=name, slots=2), now=NOW)
    await store.save_limit(LimitDraft(name="api", slots=3), now=NOW)
    await store.delete_limit("spare", now=NOW)
    job = await a_job(store, name="old", retry=ONCE)
    await store.save_job(JobDraft(name="new", pipeline={"a": 2}), now=at(1), job_id=job.id, expected_version=1)
    await store.delete_job(job.id, now=at(1))
    user = await store.claim_bootstrap(UserDraft(name="ada", password_hash="x", role="admin"), now=NOW)
    await store.save_user(UserDraft(name="ada", password_hash="y", role="admin"), now=at(1), user_id=user.id)
    await store.bump_epoch(user.id)
    assert (await store.user(user.id)).auth_epoch == user.auth_epoch + 2
    assert await store.user_named("ada")
    assert await store.has_users()


async def work(store: Store) -> None:
    """Runs: made, claimed, logged, acknowledged in each way, rescued, returned, cancelled, replayed and discarded."""
    job = await a_job(store, name="b", queue="nightly", limit=LimitUse("api"), retry=TWICE)
    once = await a_job(store, name="once", retry=ONCE)
    runs = await some_runs(store, job, 6)
    first = await store.enqueue([NewRun(job_id=once.id, unique_key="k"), NewRun(job_id=once.id)], now=NOW)
    assert (await store.enqueue([NewRun(job_id=once.id, unique_key="k")], now=at(1)))[0].id == first[0].id
    await store.enqueue([NewRun(job_id=job.id, run_at=at(5000))], now=NOW)
    for worker in ("w", "lost", "leaving"):
        await a_worker(store, worker)
    assert (await store.beat("w", now=at(1), expires_at=at(5000))).alive
    held = await a_claim(store, limit=9)
    await store.explain(runs[5].id, now=at(1))
    await store.freeze(held[0].run.id, 1, {"rows": 3}, now=at(1))
    lines = [NewLine(at=at(1), level="info", text=f"line {number}") for number in range(3)]
    await store.append_log(held[0].run.id, 1, "w", lines, now=at(1))
    for each in (held[0], next(each for each in held if each.run.job_id == once.id)):
        await told(store, each, BROKEN)
    settled = {held[0].run.id, *(each.run.id for each in held if each.run.job_id == once.id)}
    await all_told(store, [each for each in held if each.run.id not in settled])
    await store.tick(now=at(10))
    for worker in ("lost", "leaving"):
        assert await a_claim(store, worker=worker, limit=1, seconds=10)
    await store.leave("leaving", now=at(11))
    assert await store.rescue(now=at(100))
    (running,) = await a_claim(store, limit=1, seconds=101)
    for run in (running.run.id, runs[5].id):
        if (await store.run(run)).finished_at is None:
            await store.cancel(run, now=at(102))
    assert running.run.id in (await store.beat("w", now=at(103), expires_at=at(5000))).cancel
    assert await store.unfinished(Unfinished(queue="nightly"))
    assert (await store.cancel_many(Unfinished(job_id=job.id), now=at(103), limit=1)).runs
    await store.replay(LetterFilter(), now=at(104), edit={"params": {"day": 1}}, dry_run=True)
    letters = await store.dead_letters()
    await store.replay(LetterFilter(run_ids=(letters[0].run.id,)), now=at(104))
    await store.discard(LetterFilter(), reason="old", now=at(104))
    for number in range(3):
        await store.log(held[0].run.id, 1, after=number, search="line")


async def pace(store: Store) -> None:
    """Runs that begin by a rate, asked for by a request that takes effect once."""
    await store.save_limit(LimitDraft(name="paced", rate=Rate(count=1, per_s=60)), now=NOW)
    job = await a_job(store, name="paced", limit=LimitUse("paced"), retry=ONCE)
    request = Once(principal="ada", key="k", route="POST /x", fingerprint="f", at=at(2))
    await store.once(request).enqueue([NewRun(job_id=job.id)] * 2, now=at(2))
    await store.keep_answer(request, Answer(status=201, body=b"{}"))
    assert await store.receipt(request)
    for seconds in (3, 100):
        await all_told(store, await a_claim(store, limit=9, seconds=seconds), seconds=seconds + 1)


async def schedule(store: Store) -> None:
    """Nominal times: decided one by one, an outage of them, runs that wait their turn, failures that pause."""
    often = IntervalSchedule(every_s=60, overlap="queue_one", pause_after_failures=2)
    job = await a_job(store, name="often", queue="nightly", retry=ONCE, schedule=often)
    for seconds in (61, 122, 183):
        await store.tick(now=at(seconds))
    for seconds in (200, 300):
        for claimed in await a_claim(store, limit=9, seconds=seconds):
            await told(store, claimed, BROKEN, seconds=seconds + 1)
    await store.tick(now=at(4000))
    assert await store.ticks(job.id)
    assert (await store.scheduled())[0].ticks
    assert await store.scheduled([job.id])


async def lose_patience(store: Store) -> None:
    """Runs that waited for too long, that moved to another queue, a result that was told twice, and one that came too late."""
    job = await a_job(store, name="impatient", queue_timeout_s=10)
    await some_runs(store, job, 2)
    await store.tick(now=at(20))
    moved = await a_job(store, name="moved")
    await some_runs(store, moved, 2, seconds=30)
    draft = JobDraft(name="moved", pipeline={}, queue="nightly")
    await store.save_job(draft, now=at(31), job_id=moved.id, expected_version=1)
    (held,) = await a_claim(store, limit=1, seconds=32)
    for seconds in (33, 34):
        assert (await told(store, held, DONE, seconds=seconds)).applied
    assert not (await told(store, held, BROKEN, seconds=34)).applied


async def pass_on(store: Store) -> None:
    """A slot that passes from a run that ends to the next in line."""
    await store.save_limit(LimitDraft(name=HOUSE, slots=1), now=at(40))
    await some_runs(store, await a_job(store, name="passed"), 2, seconds=40)
    held = await a_claim(store, limit=1, seconds=41)
    outcomes = [Outcome(run_id=each.run.id, attempt=each.run.attempt, worker_id="w", result=DONE) for each in held]
    handed = await store.hand_over(outcomes, worker_id="w", limit=1, now=at(42))
    await all_told(store, handed.taken.claimed, seconds=43)
    await store.delete_limit(HOUSE, now=at(44))


async def read(store: Store) -> None:
    """All that can be looked at."""
    runs = await store.runs(limit=50)
    await store.runs(RunFilter(queue="nightly"), limit=2, after=runs[0].id)
    for run in runs[:3]:
        await store.events(run.id)
        await store.attempts(run.id)
        await store.log_tail(run.id, 1)
        await store.log_state(run.id, 1)
    for job in await store.jobs():
        assert await store.job(job.id) == await store.job_named(job.name)
    await store.counts()
    await store.workers()
    await store.queues()
    await store.limits()
    await store.queued_hint()
    await store.dead_letters(resolved=True)


async def live(store: Store) -> None:
    """All of it; afterwards the history is tidied."""
    await define(store)
    await work(store)
    await pace(store)
    await lose_patience(store)
    await pass_on(store)
    await schedule(store)
    await read(store)
    for days in (1, 8, 200):
        await store.tidy(Keep(age_s=timedelta(days=2).total_seconds()), now=NOW + timedelta(days=days))
    await read(store)
