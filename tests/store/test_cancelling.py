"""The exam on cancelling many runs: found by what they are, in stretches, each run as a single cancel would do it."""

from __future__ import annotations

import trio

from etlplus.jobs.model import RunState
from etlplus.jobs.outcome import Cancelled
from etlplus.jobs.queues import LimitDraft, LimitUse, QueueDraft
from etlplus.jobs.receipts import Once
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.store.contract import Store, Unfinished
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, at, some_runs, told

ALL = Unfinished()


async def test_runs_are_meant_by_what_they_are(store: Store) -> None:
    """By state, job, queue, key and age, together; the count says the same as the cancellation finds."""
    await store.save_queue(QueueDraft(name="other"), now=NOW)
    await store.save_limit(LimitDraft(name="tenant", slots=5), now=NOW)
    a = await a_job(store, limit=LimitUse("tenant", by="n"))
    b = await a_job(store, name="b", queue="other")
    (one,), (two,) = [await some_runs(store, a, params={"n": n}) for n in (1, 2)]
    (three,) = await some_runs(store, b, seconds=10)
    (later,) = await some_runs(store, b, seconds=20, run_at=at(1000))

    for fields, meant in (
        ({}, 4),
        ({"job_id": a.id}, 2),
        ({"queue": "other"}, 2),
        ({"limit_key": "tenant/2"}, 1),
        ({"limit_key": "tenant"}, 0),
        ({"states": (RunState.SCHEDULED, RunState.RUNNING)}, 1),
        ({"made_before": at(10)}, 2),
        ({"made_before": at(11), "queue": "other", "states": (RunState.QUEUED,)}, 1),
    ):
        assert sum((await store.unfinished(Unfinished(**fields))).values()) == meant, fields
    assert await store.unfinished(ALL) == {RunState.QUEUED: 3, RunState.SCHEDULED: 1}
    gone = await store.cancel_many(Unfinished(limit_key="tenant/2"), now=at(30))
    assert [(run.id, run.state, run.finished_at) for run in gone.runs] == [(two.id, RunState.CANCELLED, at(30))]
    gone = await store.cancel_many(Unfinished(queue="other", made_before=at(11)), now=at(30))
    assert [run.id for run in gone.runs] == [three.id]
    assert {run.id for run in await store.runs() if not run.state.is_final} == {one.id, later.id}


async def test_each_is_cancelled_as_a_single_one_is(store: Store) -> None:
    """What waits at once, what runs by asking its worker, once; what has finished is passed over, and history tells of each."""
    job = await a_job(store)
    over, running, waiting = await some_runs(store, job, 3)
    await a_worker(store)
    await told(store, (await a_claim(store))[0], DONE)
    (claimed,) = await a_claim(store)
    swept = await store.cancel_many(ALL, now=at(5))
    assert {run.id: (run.state, run.cancel_requested) for run in swept.runs} == {
        running.id: (RunState.RUNNING, True), waiting.id: (RunState.CANCELLED, True),
    }  # fmt: skip
    assert [event.kind for event in await store.events(waiting.id)] == ["enqueued", "cancelled"]
    assert [event.kind for event in await store.events(running.id)] == ["enqueued", "claimed", "cancel_requested"]
    assert (await store.beat("w", now=at(6), expires_at=at(60))).cancel == (running.id,)
    assert (await store.cancel_many(ALL, now=at(7))).runs == []
    assert await store.unfinished(ALL) == {}
    settled = await told(store, claimed, Cancelled(), seconds=8)
    assert settled.run is not None
    assert settled.run.state is RunState.CANCELLED
    assert (await store.counts()).runs["cancelled"] == 2
    assert (await store.run(over.id)).state is RunState.SUCCEEDED


async def test_many_go_in_stretches_from_the_newest_on(store: Store) -> None:
    """Each at most as large as is said; what is made meanwhile is not reached, and a full last stretch is followed by none."""
    job = await a_job(store)
    runs = [run.id for run in await some_runs(store, job, 7)]
    stretches: list[list[str]] = []
    after = None
    while True:
        swept = await store.cancel_many(Unfinished(queue="default"), now=at(5), limit=3, after=after)
        stretches.append(sorted(run.id for run in swept.runs))
        if (after := swept.last) is None:
            break
        await some_runs(store, job, seconds=6)
    assert stretches == [runs[4:], runs[1:4], runs[:1]]
    assert await store.unfinished(ALL) == {RunState.QUEUED: 2}


async def test_what_waits_its_turn_is_gone_before_what_it_waits_for(store: Store) -> None:
    """All runs of a schedule go without one of them beginning; when only the first goes, the next one goes on."""
    often = IntervalSchedule(every_s=60, overlap="queue_one")
    job = await a_job(store, schedule=often)
    for seconds in (61, 122):
        await store.tick(now=at(seconds))
    first = Unfinished(job_id=job.id, states=(RunState.QUEUED,))
    swept = await store.cancel_many(first, now=at(130))
    assert [run.state for run in (*swept.runs, *swept.released)] == [RunState.CANCELLED, RunState.QUEUED]
    await store.tick(now=at(183))
    assert await store.unfinished(ALL) == {RunState.QUEUED: 1, RunState.BLOCKED: 1}
    after = None
    for _ in range(2):
        swept = await store.cancel_many(ALL, now=at(190), limit=1, after=after)
        assert ([run.state for run in swept.runs], swept.released) == ([RunState.CANCELLED], [])
        after = swept.last
    assert await store.unfinished(ALL) == {}


async def test_a_slot_that_a_cancelled_run_would_have_taken_goes_to_the_next(store: Store) -> None:
    """What is left under the limit is claimed as if the others had never been there."""
    await store.save_limit(LimitDraft(name="tenant", slots=1), now=NOW)
    a = await a_job(store, limit=LimitUse("tenant"))
    b = await a_job(store, name="b", limit=LimitUse("tenant"))
    await some_runs(store, a, 50)
    (last,) = await some_runs(store, b)
    await a_worker(store)
    assert len((await store.cancel_many(Unfinished(job_id=a.id), now=at(1))).runs) == 50
    assert [claimed.run.id for claimed in await a_claim(store, limit=9, seconds=2)] == [last.id]


async def test_a_request_cancels_once(store: Store) -> None:
    """The receipt is left with the deed, also when nothing was there to be cancelled."""
    for number in range(2):
        request = Once(principal="ada", key=f"k{number}", route="POST /x", fingerprint="f", at=NOW)
        await store.once(request).cancel_many(ALL, now=NOW)
        assert await store.receipt(request)
        await some_runs(store, await a_job(store, name=f"job{number}"))


async def test_those_who_cancel_claim_and_settle_at_once_agree(store: Store) -> None:
    """Every run ends once: as its worker said, or cancelled; and each is counted once by those who cancelled."""
    job = await a_job(store)
    runs = await some_runs(store, job, 60)
    await a_worker(store, expires_s=1000)
    changed: list[str] = []

    async def cancel() -> None:
        after = None
        while True:
            swept = await store.cancel_many(ALL, now=at(5), limit=7, after=after)
            changed.extend(run.id for run in swept.runs)
            if (after := swept.last) is None:
                return

    async def work() -> None:
        while claimed := await a_claim(store, limit=5, seconds=5):
            for each in claimed:
                await told(store, each, DONE, seconds=6)

    async with trio.open_nursery() as nursery:
        for act in (cancel, cancel, work):
            nursery.start_soon(act)
    assert len(changed) == len(set(changed))
    ended = [await store.run(run.id) for run in runs]
    assert {run.state for run in ended} <= {RunState.SUCCEEDED, RunState.CANCELLED}
    assert {run.id for run in ended if run.state is RunState.CANCELLED} <= set(changed)
