"""What every body of the store must do: sat by SQLite in memory and in a file, and by PostgreSQL."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
import trio

from etlplus.errors import Conflict, NotFound, Stale, StoreUnavailable
from etlplus.jobs.letters import LetterFilter
from etlplus.jobs.model import JobDraft, NewRun, RetryPolicy, RunState
from etlplus.jobs.outcome import Cancelled, Failed, Result, Returned, RunError
from etlplus.jobs.schedules import CalendarSchedule, CronSchedule, IntervalSchedule, OnceSchedule, Schedule
from etlplus.jobs.users import UserDraft
from etlplus.store.contract import Claimed, Outcome, Store
from etlplus.store.opening import open_store
from etlplus.testing.stores import BROKEN, DONE, NOW, a_claim, a_job, a_worker, at, some_runs, told


async def test_a_job_has_versions_and_a_run_keeps_its_own(store: Store) -> None:
    """Saving again makes the next version; a run goes on with the definition it was made from."""
    job = await a_job(store)
    (run,) = await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    second = await store.save_job(JobDraft(name="job", pipeline={"a": 2}), now=at(1), job_id=job.id, expected_version=1)
    assert (second.version, second.pipeline, run.job_version) == (2, {"a": 2}, 1)
    await a_worker(store)
    (claimed,) = await a_claim(store)
    assert claimed.job.pipeline == {"a": 1}


async def test_a_stale_version_and_a_taken_name_are_conflicts(store: Store) -> None:
    """Who did not see the newest version does not overwrite it."""
    job = await a_job(store)
    with pytest.raises(Stale) as stale:
        await store.save_job(JobDraft(name="job", pipeline={}), now=NOW, job_id=job.id, expected_version=7)
    with pytest.raises(Conflict) as taken:
        await a_job(store)
    with pytest.raises(NotFound):
        await store.save_job(JobDraft(name="x", pipeline={}), now=NOW, job_id="nobody")
    assert (stale.value.reason, taken.value.reason) == ("stale_version", "name_taken")


async def test_a_wish_for_a_version_that_is_gone_is_refused(store: Store) -> None:
    """Who judged the wish by a definition that was saved again since is told, and nothing is made."""
    job = await a_job(store)
    (run,) = await store.enqueue([NewRun(job_id=job.id, job_version=1)], now=NOW)
    await store.save_job(JobDraft(name="job", pipeline={"a": 2}), now=NOW, job_id=job.id)
    with pytest.raises(Conflict) as stale:
        await store.enqueue([NewRun(job_id=job.id, job_version=1)], now=NOW)
    assert (stale.value.reason, [each.id for each in await store.runs()]) == ("stale_version", [run.id])
    (second,) = await store.enqueue([NewRun(job_id=job.id, job_version=2)], now=NOW)
    assert second.job_version == 2


async def test_a_job_in_use_is_not_deleted(store: Store) -> None:
    """A job goes when its runs have ended; they stay."""
    job = await a_job(store)
    (run,) = await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    with pytest.raises(Conflict, match="unfinished"):
        await store.delete_job(job.id, now=NOW)
    await store.cancel(run.id, now=NOW)
    await store.delete_job(job.id, now=NOW)
    assert await store.job_named("job") is None
    assert (await store.run(run.id)).state is RunState.CANCELLED


async def test_a_unique_key_makes_asking_twice_harmless(store: Store) -> None:
    """While the first is unfinished, the second wish is answered with it; all or none of a wish list is stored."""
    job = await a_job(store)
    wish = NewRun(job_id=job.id, unique_key="k")
    (first,) = await store.enqueue([wish], now=NOW)
    (again,) = await store.enqueue([wish], now=NOW)
    assert first.id == again.id
    with pytest.raises(NotFound):
        await store.enqueue([NewRun(job_id=job.id), NewRun(job_id="nobody")], now=NOW)
    assert (await store.counts()).runs["queued"] == 1


async def test_no_run_is_given_to_two(store: Store) -> None:
    """Workers that claim at once share the queue; the best rank has gone first."""
    job, urgent = await a_job(store, priority=5), await a_job(store, name="urgent")
    await store.enqueue([NewRun(job_id=job.id)] * 20, now=NOW)
    (first,) = await store.enqueue([NewRun(job_id=urgent.id)], now=NOW)
    await a_worker(store, "early")
    assert [each.run.id for each in await a_claim(store, worker="early")] == [first.id]
    got: list[Claimed] = []

    async def work(name: str) -> None:
        await a_worker(store, name)
        while claimed := await a_claim(store, worker=name, limit=3):
            got.extend(claimed)

    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(work, name)
    ids = [claimed.run.id for claimed in got]
    assert len(ids) == len(set(ids)) == 20


async def test_only_a_worker_with_a_lease_may_claim(store: Store) -> None:
    """Who has not joined, or whose lease is over, gets nothing."""
    await a_worker(store, expires_s=20)
    for name, seconds in (("stranger", 0.0), ("w", 20.0)):
        with pytest.raises(Conflict) as refused:
            await a_claim(store, worker=name, seconds=seconds)
        assert refused.value.reason == "lease_lost"


async def test_an_outcome_is_applied_once_and_only_from_its_holder(store: Store) -> None:
    """Wrong attempt, wrong worker, another end than was told before: stale, counted, and nothing changes."""
    job = await a_job(store)
    await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    await a_worker(store)
    (claimed,) = await a_claim(store)
    wrong = Outcome(run_id=claimed.run.id, attempt=2, worker_id="w", result=DONE)
    stranger = Outcome(run_id=claimed.run.id, attempt=1, worker_id="x", result=DONE)
    assert [each.applied for each in await store.acknowledge([wrong, stranger], now=NOW)] == [False, False]
    settled = await told(store, claimed, DONE)
    assert settled.applied
    assert settled.run is not None
    assert (settled.run.state, settled.run.figures) == (RunState.SUCCEEDED, DONE.figures)
    assert not (await told(store, claimed, BROKEN)).applied
    assert (await store.run(claimed.run.id)).state is RunState.SUCCEEDED
    assert (await store.counts()).stale_results == 3


@pytest.mark.parametrize("result", [DONE, BROKEN, Returned("it stops"), Cancelled()])
async def test_who_had_no_answer_tells_it_again_and_learns_what_became_of_it(store: Store, result: Result) -> None:
    """The second time changes nothing, is no stale result, and is answered with the run as it is; so also when it has gone on."""
    job = await a_job(store, retry=RetryPolicy(attempts_max=2, base_s=0))
    (run,) = await some_runs(store, job)
    await a_worker(store)
    (claimed,) = await a_claim(store)
    first, again = await told(store, claimed, result), await told(store, claimed, result)
    assert (again.applied, again.run, again.run) == (True, first.run, await store.run(run.id))
    history = await store.events(run.id)
    await store.tick(now=at(2))
    if await a_claim(store, seconds=2):
        later = await told(store, claimed, result, seconds=3)
        assert (later.applied, later.run) == (True, await store.run(run.id))
        assert (await store.run(run.id)).state is RunState.RUNNING
    assert (await store.events(run.id))[: len(history)] == history
    assert len(await store.attempts(run.id)) == (await store.run(run.id)).attempt
    assert (await store.counts()).stale_results == 0


async def test_a_failed_attempt_waits_comes_due_and_is_tried_until_none_is_left(store: Store) -> None:
    """Retry by policy: scheduled, then queued by the tick, then failed for good."""
    job = await a_job(store, retry=RetryPolicy(attempts_max=2, base_s=10, jitter=0))
    await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    await a_worker(store, expires_s=1000)
    (claimed,) = await a_claim(store)
    settled = await told(store, claimed, BROKEN, seconds=1)
    assert settled.run is not None
    assert (settled.run.state, settled.run.run_at) == (RunState.SCHEDULED, at(11))
    assert await store.tick(now=at(10.9)) == []
    assert [run.state for run in await store.tick(now=at(11))] == [RunState.QUEUED]
    (again,) = await a_claim(store, seconds=12)
    last = await told(store, again, BROKEN, seconds=13)
    assert last.run is not None
    assert (last.run.state, last.run.attempt, last.run.attempts_spent) == (RunState.FAILED, 2, 2)
    assert [attempt.ended for attempt in await store.attempts(claimed.run.id)] == ["failed", "failed"]


async def test_what_cannot_be_helped_is_not_tried_again(store: Store) -> None:
    """An error that says so fails the run at its first attempt."""
    job = await a_job(store)
    await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    await a_worker(store)
    (claimed,) = await a_claim(store)
    settled = await told(store, claimed, Failed(RunError("invalid_plan", "no")))
    assert settled.run is not None
    assert settled.run.state is RunState.FAILED


async def test_a_returned_attempt_does_not_count(store: Store) -> None:
    """A worker that drains gives the run back as it was."""
    job = await a_job(store, retry=RetryPolicy(attempts_max=1))
    await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    await a_worker(store)
    (claimed,) = await a_claim(store)
    settled = await told(store, claimed, Returned("drain"))
    assert settled.run is not None
    assert (settled.run.state, settled.run.attempts_spent) == (RunState.QUEUED, 0)
    (again,) = await a_claim(store)
    assert again.run.attempt == 2
    assert [run.id for run in await store.leave("w", now=NOW)] == [again.run.id]
    assert (await store.run(again.run.id)).state is RunState.QUEUED


async def test_a_lost_worker_loses_its_runs_and_its_voice(store: Store) -> None:
    """After the lease is over the run is queued again, and what the lost worker still says is stale."""
    job = await a_job(store)
    await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    await a_worker(store, expires_s=20)
    (claimed,) = await a_claim(store)
    assert await store.rescue(now=at(19)) == []
    (rescued,) = await store.rescue(now=at(20))
    assert (rescued.id, rescued.state, rescued.rescues) == (claimed.run.id, RunState.QUEUED, 1)
    assert not (await told(store, claimed, DONE, seconds=21)).applied
    assert not (await store.beat("w", now=at(21), expires_at=at(41))).alive


async def test_whoever_starts_after_an_outage_takes_back_only_what_dead_workers_held(store: Store) -> None:
    """Every lease looks old then. Those who were there before go on with theirs, and what they tell counts."""
    await some_runs(store, await a_job(store), 2)
    await a_worker(store, "dead", expires_s=20)
    await a_worker(store, "alive", expires_s=20)
    (lost,), (kept,) = await a_claim(store, worker="dead"), await a_claim(store, worker="alive")
    assert [run.id for run in await store.rescue(now=at(100), dead=["dead"])] == [lost.run.id]
    assert [worker.id for worker in await store.workers()] == ["alive"]
    assert (await store.beat("alive", now=at(101), expires_at=at(121))).alive
    assert (await told(store, kept, DONE, worker="alive", seconds=101)).applied


async def test_a_beat_tells_whether_another_worker_lives(store: Store) -> None:
    """One whose lease is over does not."""
    await a_worker(store, expires_s=100)
    await a_worker(store, "other", expires_s=20)
    assert (await store.beat("w", now=at(19), expires_at=at(100))).company
    assert not (await store.beat("w", now=at(20), expires_at=at(100))).company


@pytest.mark.parametrize("after", [None, 1, 2, 5])
async def test_a_run_that_keeps_losing_workers_is_set_aside(store: Store, after: int | None) -> None:
    """The third lost worker makes it poison, or whichever the job says; a dead letter tells of all of them."""
    job = await a_job(store, **({} if after is None else {"poison_after": after}))
    await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    workers = [f"w{number}" for number in range(after or 3)]
    states: list[RunState] = []
    for worker in workers:
        await a_worker(store, worker)
        await a_claim(store, worker=worker)
        (run,) = await store.rescue(now=at(5), dead=[worker])
        states.append(run.state)
    assert states == [*[RunState.QUEUED] * (len(workers) - 1), RunState.FAILED]
    (letter,) = await store.dead_letters(LetterFilter(code="worker_lost"))
    assert letter.run.error is not None
    assert letter.run.error.problems == tuple(
        f"attempt {number}: worker {worker} was lost, as found at 2026-05-04 03:02:06Z"
        for number, worker in enumerate(workers, start=1)
    )
    attempts = await store.attempts(letter.run.id)
    assert [(each.worker_id, each.ended) for each in attempts] == [(worker, "lost") for worker in workers]


async def test_an_attempt_that_ends_in_order_clears_a_run_of_poison(store: Store) -> None:
    """Workers that were lost before it are not counted, nor told of, any more."""
    job = await a_job(store, poison_after=2, retry=RetryPolicy(attempts_max=9, base_s=0, jitter=0))
    await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    for number in range(3):
        await a_worker(store, f"w{number}")
        await a_claim(store, worker=f"w{number}")
        (run,) = await store.rescue(now=NOW, dead=[f"w{number}"])
        assert run.state is RunState.QUEUED
        assert len(run.error.problems if run.error else ()) == 1
        await a_worker(store)
        (held,) = await a_claim(store)
        await told(store, held, BROKEN, seconds=0)
        await store.tick(now=at(1))


async def test_a_lost_worker_counts_for_every_run_that_it_carried(store: Store) -> None:
    """Nobody can tell whose fault it was: who was beside the culprit each time is set aside with it, and can be replayed; for a
    job that has more patience, or a run of which an attempt has ended in order, it goes on.
    """
    hasty = await a_job(store, name="hasty", poison_after=2, retry=RetryPolicy(attempts_max=9, base_s=0, jitter=0))
    patient = await a_job(store, name="patient", poison_after=3)
    culprit, beside, cleared = await some_runs(store, hasty, 3)
    (waits,) = await some_runs(store, patient)
    for number in range(2):
        worker = f"w{number}"
        await a_worker(store, worker)
        held = {each.run.id: each for each in await a_claim(store, worker=worker, limit=4)}
        assert len(held) == 4
        if number:
            await told(store, held[cleared.id], BROKEN, worker=worker, seconds=0)
        await store.rescue(now=NOW, dead=[worker])
    letters = await store.dead_letters(LetterFilter(code="worker_lost"))
    assert {letter.run.id for letter in letters} == {culprit.id, beside.id}
    assert [(await store.run(run.id)).rescues for run in (cleared, waits)] == [0, 2]
    replays = await store.replay(LetterFilter(run_ids=(beside.id,)), now=NOW)
    assert [replay.run.rescues for replay in replays if replay.run] == [0]


async def test_cancelling_waits_for_the_worker_only_while_it_carries(store: Store) -> None:
    """A waiting run is cancelled at once; a running one is marked, the beat tells, and the worker's word ends it."""
    job = await a_job(store)
    waiting, running = await store.enqueue([NewRun(job_id=job.id, run_at=at(99)), NewRun(job_id=job.id)], now=NOW)
    assert [run.state for run in await store.cancel(waiting.id, now=NOW)] == [RunState.CANCELLED]
    await a_worker(store)
    (claimed,) = await a_claim(store)
    assert [run.cancel_requested for run in await store.cancel(running.id, now=NOW)] == [True]
    assert (await store.beat("w", now=at(1), expires_at=at(21))).cancel == (running.id,)
    settled = await told(store, claimed, Cancelled())
    assert settled.run is not None
    assert settled.run.state is RunState.CANCELLED
    with pytest.raises(Conflict, match="already"):
        await store.cancel(running.id, now=NOW)


async def test_the_first_bounds_are_kept(store: Store) -> None:
    """Whoever freezes second, or holds nothing, changes nothing; the next attempt finds the first bounds."""
    job = await a_job(store)
    await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    await a_worker(store)
    (claimed,) = await a_claim(store)
    assert await store.freeze(claimed.run.id, 1, {"size": 1}, now=NOW)
    assert not await store.freeze(claimed.run.id, 1, {"size": 2}, now=NOW)
    assert not await store.freeze(claimed.run.id, 9, {"size": 3}, now=NOW)
    await told(store, claimed, Returned("drain"))
    (again,) = await a_claim(store)
    assert again.run.bounds == {"size": 1}


async def test_a_success_counts_though_the_run_changed_meanwhile(store: Store) -> None:
    """Cancelled in the meantime, or its sources frozen: it is a success all the same, with all that happened in between."""
    job = await a_job(store)
    await store.enqueue([NewRun(job_id=job.id)] * 2, now=NOW)
    await a_worker(store)
    asked, frozen = await a_claim(store, limit=2)
    await store.cancel(asked.run.id, now=NOW)
    await store.freeze(frozen.run.id, 1, {"size": 1}, now=NOW)
    for claimed in (asked, frozen):
        settled = await told(store, claimed, DONE)
        assert settled.run is not None
        assert settled.run.state is RunState.SUCCEEDED
    kinds = [event.kind for event in await store.events(asked.run.id)]
    assert kinds == ["enqueued", "claimed", "cancel_requested", "succeeded"]
    assert (await store.run(frozen.run.id)).bounds == {"size": 1}


async def test_what_was_told_is_what_is_read(store: Store) -> None:
    """The runs, events and attempts that a caller hears of are those that everybody finds in the store."""
    job = await a_job(store, retry=RetryPolicy(base_s=1, jitter=0))
    (made,) = await store.enqueue([NewRun(job_id=job.id, params={"n": 1})], now=NOW)
    assert await store.run(made.id) == made
    await a_worker(store)
    (claimed,) = await a_claim(store)
    assert await store.run(made.id) == claimed.run == (await store.runs())[0]
    (in_hand,) = await store.attempts(made.id)
    assert (in_hand.number, in_hand.worker_id, in_hand.started_at, in_hand.ended) == (1, "w", NOW, None)
    retried = await told(store, claimed, BROKEN)
    assert await store.run(made.id) == retried.run
    (due,) = await store.tick(now=at(2))
    assert await store.run(made.id) == due
    (again,) = await a_claim(store, seconds=3)
    settled = await told(store, again, DONE, seconds=4)
    assert await store.run(made.id) == settled.run == (await store.runs())[0]
    events = await store.events(made.id)
    kinds = ["enqueued", "claimed", "retried", "came_due", "claimed", "succeeded"]
    assert [(event.version, event.kind) for event in events] == list(enumerate(kinds, start=1))
    assert [event.at for event in events] == [NOW, NOW, at(1), at(2), at(3), at(4)]
    assert [(each.number, each.started_at, each.finished_at) for each in await store.attempts(made.id)] == [
        (1, NOW, at(1)), (2, at(3), at(4)),
    ]  # fmt: skip


async def test_a_schedule_fires_once_for_each_nominal_time_however_many_tick(store: Store) -> None:
    """Two nodes tick at once: one run; after an outage: one run, and the next time lies ahead."""
    job = await a_job(store, schedule=IntervalSchedule(every_s=60, start_at=at(60)))
    made: list[Any] = []

    async def tick(seconds: float) -> None:
        made.extend(await store.tick(now=at(seconds)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick, 60.0)
        nursery.start_soon(tick, 60.0)
    assert [run.cause for run in made] == ["schedule"]
    await tick(60 * 10 + 5)
    assert len(made) == 2
    assert (await store.job(job.id)).next_at == at(60 * 11)


@pytest.mark.parametrize(
    ("schedule", "nominal"),
    [
        (CronSchedule(cron="0 6 * * *", zone="Europe/Berlin"), ["2026-05-04T04:00", "2026-05-05T04:00"]),
        (CalendarSchedule(unit="week", at="02:30", weekdays=("friday",)), ["2026-05-08T02:30", "2026-05-15T02:30"]),
        (OnceSchedule(at=at(90)), ["2026-05-04T03:03", None]),
    ],
)
async def test_schedules_of_other_kinds_fire_too(store: Store, schedule: Schedule, nominal: list[str | None]) -> None:
    """A cron, a calendar, and what comes once: one run at the nominal time, then the next one, or none ever after."""
    job = await a_job(store, schedule=schedule)
    seen: list[str | None] = []
    for _ in range(2):
        due_at = (await store.job(job.id)).next_at
        seen.append(due_at.astimezone(UTC).isoformat()[:16] if due_at else None)
        runs = await store.tick(now=due_at or at(10**6))
        assert [run.job_id for run in runs] == ([job.id] if due_at else [])
    assert seen == nominal


async def test_a_clock_that_steps_back_makes_no_second_run(store: Store) -> None:
    """Saved again at an earlier time, the job is due at a nominal time that has had its run: none is made, others fire."""
    schedule = IntervalSchedule(every_s=60, start_at=at(60))
    job = await a_job(store, schedule=schedule)
    other = await a_job(store, name="other", schedule=IntervalSchedule(every_s=60, start_at=at(61)))
    assert [run.job_id for run in await store.tick(now=at(60))] == [job.id]
    again = JobDraft(name="job", pipeline={}, schedule=schedule)
    assert (await store.save_job(again, now=at(30), job_id=job.id)).next_at == at(60)
    assert [run.job_id for run in await store.tick(now=at(61))] == [other.id]
    assert (await store.job(job.id)).next_at == at(120)


async def test_there_is_one_first_user(store: Store) -> None:
    """Of any number of callers at once, one makes the first admin."""
    won: list[str] = []

    async def bootstrap(name: str) -> None:
        draft = UserDraft(name=name, password_hash="h", role="admin")
        with suppress(Conflict):
            won.append((await store.claim_bootstrap(draft, now=NOW)).name)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(bootstrap, f"u{number}")
    assert len(won) == 1
    user = await store.user_named(won[0])
    assert user is not None
    assert (await store.bump_epoch(user.id)).auth_epoch == 2


async def test_a_cancelled_caller_leaves_no_half_of_anything(store: Store) -> None:
    """Cancelled after any number of cancel points, a unit took effect wholly or not at all, and the next one works."""
    job = await a_job(store)
    for cut in range(6):
        with trio.CancelScope() as scope:

            async def cancel_after(points: int, scope: trio.CancelScope = scope) -> None:
                for _ in range(points):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_after, cut)
                await store.enqueue([NewRun(job_id=job.id)] * 3, now=NOW)
        await store.ping()
        queued = (await store.counts()).runs["queued"]
        assert queued % 3 == 0
        assert len(await store.runs(limit=1000)) == queued


async def test_every_transition_leaves_an_event_and_no_gap(store: Store) -> None:
    """The history of a run tells its whole life, version by version."""
    job = await a_job(store)
    (run,) = await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    await a_worker(store)
    (claimed,) = await a_claim(store)
    await told(store, claimed, DONE)
    events = await store.events(run.id)
    assert [(event.version, event.kind) for event in events] == [(1, "enqueued"), (2, "claimed"), (3, "succeeded")]
    assert [event.version for event in await store.events(run.id, after_version=2)] == [3]


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Whoever calls after the end gets StoreUnavailable, not silence."""
    async with open_store(f"sqlite:{tmp_path / 's'}") as store:
        await store.ping()
    with pytest.raises(StoreUnavailable):
        await store.ping()
