"""The exam on dead letters: what stands there, and how it goes."""

from __future__ import annotations

from typing import Any

import trio

from etlplus.jobs.letters import LetterFilter
from etlplus.jobs.model import Job, JobDraft, RetryPolicy, Run, RunState
from etlplus.jobs.outcome import Failed, RunError
from etlplus.jobs.queues import QueueDraft, QueueMode
from etlplus.store.contract import Store
from etlplus.testing.stores import NOW, a_claim, a_job, a_worker, at, some_runs, told


async def some_letters(store: Store, job: Job, *codes: str, seconds: float = 1, **options: Any) -> list[Run]:
    """Runs of the job that failed for good with these codes."""
    await some_runs(store, job, len(codes), **options)
    await a_worker(store, expires_s=10_000)
    letters: list[Run] = []
    for code in codes:
        (claimed,) = await a_claim(store)
        settled = await told(store, claimed, Failed(RunError(code, "no")), seconds=seconds)
        assert settled.run is not None
        letters.append(settled.run)
    return letters


async def test_what_failed_for_good_stands_among_the_dead_letters(store: Store) -> None:
    """Whether the attempt failed, too many workers were lost or nobody took it; not what is tried again or cancelled."""
    job = await a_job(store, queue_timeout_s=50, retry=RetryPolicy(attempts_max=2, jitter=0, base_s=1000))
    (broken,) = await some_letters(store, job, "bad")
    poison, cancelled, retried = await some_runs(store, job, 3)
    for number in range(3):
        await a_worker(store, f"lost{number}")
        await a_claim(store, worker=f"lost{number}")
        await store.rescue(now=NOW, dead=[f"lost{number}"])
    await store.cancel(cancelled.id, now=NOW)
    (claimed,) = await a_claim(store)
    assert claimed.run.id == retried.id
    await told(store, claimed, Failed(RunError("bad", "no", retryable=True)))
    (late,) = await some_runs(store, job)
    await store.tick(now=at(60))
    letters = await store.dead_letters()
    assert [(each.run.id, each.run.error and each.run.error.code) for each in letters] == [
        (late.id, "queue_timeout"), (poison.id, "worker_lost"), (broken.id, "bad"),
    ]  # fmt: skip
    assert letters[2].failed_at == at(1)
    assert all(each.resolution is None for each in letters)


async def test_dead_letters_are_found_by_what_they_are(store: Store) -> None:
    """By run, job, queue, code and time, together; page by page, newest run first."""
    await store.save_queue(QueueDraft(name="other"), now=NOW)
    a, b = await a_job(store), await a_job(store, name="b", queue="other")
    one, two, three = await some_letters(store, a, "x", "y", "x")
    (four,) = await some_letters(store, b, "x", seconds=100)

    async def found(**fields: Any) -> list[str]:
        return [each.run.id for each in await store.dead_letters(LetterFilter(**fields))]

    assert await found() == [four.id, three.id, two.id, one.id]
    assert await found(code="x") == [four.id, three.id, one.id]
    assert await found(code="x", job_id=a.id) == [three.id, one.id]
    assert await found(queue="other") == [four.id]
    assert await found(run_ids=(two.id, one.id)) == [two.id, one.id]
    assert await found(failed_from=at(1), failed_before=at(100)) == [three.id, two.id, one.id]
    page = await store.dead_letters(limit=2)
    assert [each.run.id for each in await store.dead_letters(limit=2, after=page[-1].run.id)] == [two.id, one.id]


async def test_a_replay_is_a_new_run_of_the_present_version(store: Store) -> None:
    """With the old parameters, for the same stretch of data; the letter names it and stands among the resolved ones."""
    job, interval = await a_job(store), (at(-60), at(0))
    (dead,) = await some_letters(store, job, "x", params={"n": 1}, unique_key="k", interval=interval)
    await store.save_job(JobDraft(name="job", pipeline={"better": True}), now=at(5), job_id=job.id)
    (replay,) = await store.replay(LetterFilter(run_ids=(dead.id,)), now=at(10))
    assert replay.run is not None
    assert (replay.run.job_version, replay.run.params, replay.run.cause) == (2, {"n": 1}, "replay")
    assert (replay.run.replay_of, replay.run.state, replay.run.interval) == (dead.id, RunState.QUEUED, interval)
    assert await store.dead_letters() == []
    (letter,) = await store.dead_letters(resolved=True)
    assert (letter.resolution, letter.resolved_at, letter.replay_id) == ("replayed", at(10), replay.run.id)
    (claimed,) = await a_claim(store, seconds=10)
    assert (claimed.run.id, claimed.job.pipeline) == (replay.run.id, {"better": True})


async def test_a_dry_run_tells_and_stores_nothing(store: Store) -> None:
    """Which would be replayed and with which parameters after the edit."""
    job = await a_job(store)
    await some_letters(store, job, "x", "y", params={"n": 1, "deep": {"a": 1, "b": 2}, "old": 0})
    edit = {"n": 5, "deep": {"a": None}, "old": None}
    told_ = await store.replay(LetterFilter(code="y"), now=at(5), edit=edit, dry_run=True)
    assert [(each.params, each.run, each.problems) for each in told_] == [({"n": 5, "deep": {"b": 2}}, None, ())]
    assert len(await store.dead_letters()) == len(await store.runs()) == 2
    (done,) = await store.replay(LetterFilter(code="y"), now=at(5), edit=edit)
    assert done.run is not None
    assert done.run.params == {"n": 5, "deep": {"b": 2}}


async def test_what_cannot_be_replayed_stays_and_says_why(store: Store) -> None:
    """A deleted job and a draining queue; the others are replayed, oldest first, up to the limit."""
    await store.save_queue(QueueDraft(name="other"), now=NOW)
    good, gone = await a_job(store), await a_job(store, name="gone")
    drained = await a_job(store, name="drained", queue="other")
    one, two, three = await some_letters(store, good, "x", "x", "x")
    (lost,) = await some_letters(store, gone, "x")
    (stuck,) = await some_letters(store, drained, "x")
    await store.delete_job(gone.id, now=NOW)
    await store.set_queue_mode("other", QueueMode.DRAINING, now=NOW)
    assert [each.run_id for each in await store.replay(LetterFilter(), now=at(5), limit=2)] == [one.id, two.id]
    rest = {each.run_id: each for each in await store.replay(LetterFilter(), now=at(6))}
    assert rest[three.id].run is not None
    assert rest[lost.id].problems == ("the job 'gone' was deleted",)
    assert "draining" in rest[stuck.id].problems[0]
    assert [each.run.id for each in await store.dead_letters()] == [stuck.id, lost.id]


async def test_two_who_replay_at_once_make_one_run(store: Store) -> None:
    """The second finds nothing to do."""
    job = await a_job(store)
    (dead,) = await some_letters(store, job, "x")
    made: list[Any] = []

    async def ask() -> None:
        made.extend(await store.replay(LetterFilter(run_ids=(dead.id,)), now=at(5)))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ask)
    assert len(made) == 1


async def test_discarding_needs_a_reason_and_keeps_it(store: Store) -> None:
    """The letter is resolved; the run itself stays as it was."""
    job = await a_job(store)
    one, two = await some_letters(store, job, "x", "y")
    assert await store.discard(LetterFilter(code="x"), reason="not needed any more", now=at(5)) == [one.id]
    assert [each.run.id for each in await store.dead_letters()] == [two.id]
    (letter,) = await store.dead_letters(resolved=True)
    assert (letter.resolution, letter.reason, letter.resolved_at) == ("discarded", "not needed any more", at(5))
    assert (await store.run(one.id)).state is RunState.FAILED
    assert await store.replay(LetterFilter(run_ids=(one.id,)), now=at(6)) == []
