"""The exam on queues: what they let in, what they let out, how much waits in them."""

from __future__ import annotations

import pytest

from etlplus.errors import Conflict, Invalid, NotFound
from etlplus.jobs.outcome import Returned
from etlplus.jobs.queues import QueueDraft, QueueMode
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, all_told, at, some_runs, told


async def test_a_job_names_a_queue_that_exists(store: Store) -> None:
    """An unknown queue is refused with its field and what would do; nothing is stored."""
    with pytest.raises(Invalid) as refused:
        await a_job(store, queue="nowhere")
    (problem,) = refused.value.problems
    assert (problem.pointer, problem.code, problem.suggestion) == ("/queue", "unknown_queue", "one of default")
    assert await store.job_named("job") is None
    await store.save_queue(QueueDraft(name="nowhere"), now=NOW)
    assert (await a_job(store, queue="nowhere")).queue == "nowhere"


async def test_a_paused_queue_gives_nothing_and_forgets_nothing(store: Store) -> None:
    """Its runs wait, those of other queues are claimed, and opened again it gives them in order."""
    await store.save_queue(QueueDraft(name="slow"), now=NOW)
    slow, quick = await a_job(store, queue="slow"), await a_job(store, name="quick")
    waiting = await some_runs(store, slow, 3)
    (other,) = await some_runs(store, quick, seconds=1)
    await store.set_queue_mode("slow", QueueMode.PAUSED, now=NOW)
    await some_runs(store, slow, seconds=2)
    await a_worker(store)
    assert [each.run.id for each in await a_claim(store, limit=9)] == [other.id]
    await store.set_queue_mode("slow", QueueMode.OPEN, now=NOW)
    assert [each.run.id for each in await a_claim(store, limit=3)] == [run.id for run in waiting]


async def test_a_draining_queue_lets_out_and_not_in(store: Store) -> None:
    """New runs are refused, also by schedules; a retry or a run that was given back still ends there."""
    job = await a_job(store, schedule=IntervalSchedule(every_s=60, start_at=at(60)))
    await some_runs(store, job, 2)
    await a_worker(store, expires_s=1000)
    (first,) = await a_claim(store)
    await store.set_queue_mode("default", QueueMode.DRAINING, now=NOW)
    with pytest.raises(Invalid) as refused:
        await some_runs(store, job)
    assert refused.value.reason == "queue_draining"
    assert await store.tick(now=at(61)) == []
    assert (await store.job(job.id)).next_at == at(120)
    await told(store, first, Returned("drain"))
    await all_told(store, await a_claim(store, limit=9))
    assert (await store.counts()).runs["succeeded"] == 2
    await store.set_queue_mode("default", QueueMode.OPEN, now=NOW)
    assert len(await store.tick(now=at(121))) == 1


async def test_a_queue_never_has_more_runs_in_hand_than_slots(store: Store) -> None:
    """Its own limit holds over all workers, and each end makes room for one more, however the attempt ended."""
    await store.save_queue(QueueDraft(name="narrow", slots=2), now=NOW)
    job = await a_job(store, queue="narrow")
    await some_runs(store, job, 9)
    await a_worker(store, "a")
    await a_worker(store, "b")
    one, two = await a_claim(store, worker="a", limit=9)
    assert await a_claim(store, worker="b", limit=9) == []
    await told(store, one, DONE, worker="a")
    (three,) = await a_claim(store, worker="b", limit=9)
    await told(store, two, Returned("drain"), worker="a")
    assert len(await a_claim(store, worker="a", limit=9)) == 1
    await store.rescue(now=NOW, dead=["b"])
    (again,) = await a_claim(store, worker="a", limit=9)
    assert again.run.id == three.run.id
    assert len(await store.leave("a", now=NOW)) == 2
    await a_worker(store, "c")
    assert len(await a_claim(store, worker="c", limit=9)) == 2


async def test_fewer_slots_count_what_is_in_hand(store: Store) -> None:
    """Lowered below what runs, nothing is claimed until enough have ended; raised, more are at once."""
    await store.save_queue(QueueDraft(name="narrow", slots=4), now=NOW)
    await some_runs(store, await a_job(store, queue="narrow"), 9)
    await a_worker(store)
    held = await a_claim(store, limit=9)
    await store.save_queue(QueueDraft(name="narrow", slots=2), now=NOW)
    for each in held[:2]:
        await told(store, each, DONE)
        assert await a_claim(store, limit=9) == []
    await told(store, held[2], DONE)
    assert len(await a_claim(store, limit=9)) == 1
    await store.save_queue(QueueDraft(name="narrow"), now=NOW)
    assert len(await a_claim(store, limit=9)) == 4


async def test_queues_are_listed_with_what_waits_in_them(store: Store) -> None:
    """By name: the mode, how many are queued, scheduled and running, and since when the oldest waits."""
    await store.save_queue(QueueDraft(name="a", slots=1), now=NOW)
    job = await a_job(store, queue="a")
    await some_runs(store, job, 3, seconds=5)
    await some_runs(store, job, 2, run_at=at(100))
    await a_worker(store)
    await a_claim(store)
    await store.set_queue_mode("a", QueueMode.PAUSED, now=at(6))
    a, default = await store.queues()
    assert (a.queue.name, a.queue.mode, a.queue.slots) == ("a", QueueMode.PAUSED, 1)
    assert (a.queued, a.scheduled, a.running, a.oldest_at) == (2, 2, 1, at(5))
    assert (default.queue.name, default.queued, default.oldest_at) == ("default", 0, None)


async def test_a_queue_in_use_is_not_deleted(store: Store) -> None:
    """A queue goes when no job names it and none of its runs is unfinished; the default one stays."""
    await store.save_queue(QueueDraft(name="a", slots=1), now=NOW)
    job = await a_job(store, queue="a")
    (run,) = await some_runs(store, job)
    for name, said in (
        ("a", "the queue is in use: unfinished runs need it, and it is named by the job 'job'"),
        ("default", "stays"),
    ):
        with pytest.raises(Conflict, match=said) as refused:
            await store.delete_queue(name, now=NOW)
        assert refused.value.reason == "queue_in_use"
    await store.cancel(run.id, now=NOW)
    await store.delete_job(job.id, now=NOW)
    await store.delete_queue("a", now=NOW)
    with pytest.raises(NotFound):
        await store.set_queue_mode("a", QueueMode.OPEN, now=NOW)
    assert [each.queue.name for each in await store.queues()] == ["default"]


@pytest.mark.parametrize("url", ["file", "postgres"], indirect=True)
async def test_a_pause_outlives_whoever_asked_for_it(url: str) -> None:
    """What was stored is there for the next one who opens the store."""
    async with open_store(url) as store:
        await store.set_queue_mode("default", QueueMode.PAUSED, now=NOW)
    async with open_store(url) as store:
        assert [each.queue.mode for each in await store.queues()] == [QueueMode.PAUSED]
