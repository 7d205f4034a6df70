"""The exam on ticks: each nominal time is decided once, by the rules of its schedule, and the ledger says how."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

import pytest
import trio
from msgspec.structs import asdict

from etlplus.errors import Invalid
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, JobDraft, RetryPolicy, Run, RunState
from etlplus.jobs.outcome import Failed, Result, RunError
from etlplus.jobs.queues import LimitDraft, LimitUse, QueueMode
from etlplus.jobs.reasons import Reason
from etlplus.jobs.retention import Keep
from etlplus.jobs.schedules import CalendarSchedule, CronSchedule, IntervalSchedule, OnceSchedule, Schedule
from etlplus.jobs.ticks import Tick, TickOutcome
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.postgres import schema as postgres_schema
from etlplus.store.postgres import ticking as postgres_ticking
from etlplus.store.postgres.bridge import Db, open_bridge
from etlplus.store.postgres.definitions import Definitions as PostgresDefinitions
from etlplus.store.sqlite import cancelling as sqlite_cancelling
from etlplus.store.sqlite import ledger as sqlite_ledger
from etlplus.store.sqlite import repeats as sqlite_repeats
from etlplus.store.sqlite import schema as sqlite_schema
from etlplus.store.sqlite import ticking as sqlite_ticking
from etlplus.store.sqlite import turns as sqlite_turns
from etlplus.store.sqlite.definitions import Definitions as SqliteDefinitions
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, at, some_runs, told

FATAL = Failed(RunError("data_error", "bad", retryable=False))


def minutely(**options: Any) -> IntervalSchedule:
    """Due at 60, 120, 180 ... seconds after ``NOW``."""
    return IntervalSchedule(every_s=60, start_at=at(60), **options)


def told_of(ticks: list[Tick]) -> list[tuple[str, float, float, int]]:
    """Lines of the ledger, oldest first: outcome, first and last nominal time in seconds after ``NOW``, count."""
    return [
        (each.outcome, (each.nominal_at - NOW).total_seconds(), (each.last_at - NOW).total_seconds(), each.count)
        for each in reversed(ticks)
    ]


async def saved(store: Store, job: Job, seconds: float, **options: Any) -> Job:
    """The next version of a job."""
    fields = {name: value for name, value in asdict(job).items() if name in JobDraft.__struct_fields__}
    return await store.save_job(JobDraft(**(fields | options)), now=at(seconds), job_id=job.id)


async def carried(store: Store, seconds: float, result: Result = DONE) -> Run:
    """The next run, claimed and ended so many seconds after ``NOW``."""
    (claimed,) = await a_claim(store, seconds=seconds)
    settled = await told(store, claimed, result, seconds=seconds)
    assert settled.run is not None
    return settled.run


@pytest.mark.parametrize(
    ("options", "fired", "passed"),
    [
        ({}, [600], [("coalesced", 60, 540, 9)]),
        ({"misfire": "run_all", "catch_up_max": 3}, [480, 540, 600], [("missed", 60, 420, 7)]),
        ({"misfire": "skip"}, [600], [("missed", 60, 540, 9)]),
        ({"misfire": "skip", "grace_s": 1}, [], [("missed", 60, 600, 10)]),
    ],
)
async def test_an_outage_is_made_up_for_by_rule_and_is_one_line(
    store: Store, options: dict[str, Any], fired: list[float], passed: list[tuple[str, float, float, int]]
) -> None:
    """Of ten nominal times that passed, the misfire rule chooses; the ledger has them all, and the next one lies ahead."""
    job = await a_job(store, schedule=minutely(**options))
    runs = await store.tick(now=at(605))
    assert [run.interval and run.interval[1] for run in runs] == [at(seconds) for seconds in fired]
    assert told_of(await store.ticks(job.id)) == passed + [("fired", seconds, seconds, 1) for seconds in fired]
    assert (await store.job(job.id)).next_at == at(660)
    assert await store.tick(now=at(606)) == []


async def test_a_long_outage_counts_up_to_a_bound(store: Store) -> None:
    """A month at a beat of a minute is one line, and its count says a thousand or more."""
    job = await a_job(store, schedule=minutely())
    (run,) = await store.tick(now=at(60 * 43_200))
    assert told_of(await store.ticks(job.id))[0] == ("coalesced", 60, 60 * 43_199, 1000)
    assert run.interval == (NOW, at(60 * 43_200))


async def test_the_ledger_tells_newest_first_in_pages(store: Store) -> None:
    """Lines with their reasons, runs and times; a page goes on after the last line seen."""
    zone = {"zone": "Europe/Berlin"}
    job = await a_job(
        store, schedule=CronSchedule(cron="30 2 * * *", start_at=datetime.fromisoformat("2027-03-27T00:00Z"), **zone)
    )
    made: list[Run] = []
    for _ in range(3):
        due_at = (await store.job(job.id)).next_at
        assert due_at is not None
        made += await store.tick(now=due_at)
    ticks = await store.ticks(job.id)
    assert [each.run_id for each in ticks] == [run.id for run in reversed(made)]
    assert [each.reason for each in ticks] == [Reason.NORMAL, Reason.SHIFTED_LATER, Reason.NORMAL]
    assert [each.decided_at for each in ticks] == [each.nominal_at for each in ticks]
    first = await store.ticks(job.id, limit=2)
    assert first == ticks[:2]
    assert await store.ticks(job.id, limit=2, after=(first[-1].nominal_at, first[-1].outcome)) == ticks[2:]
    assert await store.ticks("nobody") == []


async def test_of_lines_that_begin_together_each_is_on_one_page(store: Store) -> None:
    """A nominal time that was fired and, after the clock was put back, passed over: pages of one line tell both."""
    job = await a_job(store, schedule=minutely())
    await store.tick(now=at(60))
    await saved(store, job, 30, schedule=minutely(misfire="skip", grace_s=0))
    await store.tick(now=at(130))
    ticks = await store.ticks(job.id)
    assert told_of(ticks) == [("fired", 60, 60, 1), ("missed", 60, 120, 2)]
    (first,) = await store.ticks(job.id, limit=1)
    assert [first, *await store.ticks(job.id, after=(first.nominal_at, first.outcome))] == ticks


@pytest.mark.parametrize(
    ("overlap", "states", "line"),
    [
        ("allow", ["queued"], "fired"),
        ("skip", [], "overlap"),
        ("queue_one", ["blocked"], "fired"),
        ("cancel_old", ["running", "queued"], "fired"),
    ],
)
async def test_an_unfinished_run_means_what_the_rule_says(
    store: Store, overlap: Any, states: list[str], line: str
) -> None:
    """While a run is in hand the next nominal time makes another, none, one that waits, or one in its place."""
    job = await a_job(store, schedule=minutely(overlap=overlap))
    await some_runs(store, job, run_at=at(9999))
    await store.tick(now=at(60))
    await a_worker(store, expires_s=999)
    (claimed,) = await a_claim(store, seconds=61)
    answer = await store.tick(now=at(120))
    assert [run.state for run in answer] == states
    assert told_of(await store.ticks(job.id))[-1] == (line, 120, 120, 1)
    held = await store.run(claimed.run.id)
    assert held.cancel_requested == (overlap == "cancel_old")
    assert (await store.beat("w", now=at(121), expires_at=at(999))).cancel == (
        (held.id,) if held.cancel_requested else ()
    )


async def test_what_waits_is_cancelled_at_once_for_the_newer_run(store: Store) -> None:
    """A scheduled run that nobody carries is over; runs that were asked for by hand are left alone."""
    job = await a_job(store, schedule=minutely(overlap="cancel_old"))
    (by_hand,) = await some_runs(store, job)
    (old,) = await store.tick(now=at(60))
    answer = await store.tick(now=at(120))
    assert [(run.id == old.id, run.state) for run in answer] == [(True, "cancelled"), (False, "queued")]
    assert (await store.run(by_hand.id)).state is RunState.QUEUED


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled", "poisoned", "timed_out"])
async def test_a_run_that_waits_its_turn_goes_on_when_the_one_before_has_ended(store: Store, end: str) -> None:
    """However that one ended, in the same unit: once the answer is there, the waiting one is queued."""
    await a_job(store, schedule=minutely(overlap="queue_one"), queue_timeout_s=100.0 if end == "timed_out" else None)
    (first,) = await store.tick(now=at(60))
    (second,) = await store.tick(now=at(120))
    assert second.state is RunState.BLOCKED
    assert await store.tick(now=at(125)) == []
    if end == "cancelled":
        await store.cancel(first.id, now=at(130))
    elif end == "timed_out":
        assert {run.id: run.state for run in await store.tick(now=at(160))} == {first.id: "failed", second.id: "queued"}
    elif end == "poisoned":
        for number in range(3):
            await a_worker(store, f"w{number}", expires_s=999)
            (claimed,) = await a_claim(store, worker=f"w{number}", seconds=130)
            assert claimed.run.id == first.id
            answer = await store.rescue(now=at(130), dead=[f"w{number}"])
        assert {run.id: run.state for run in answer} == {first.id: "failed", second.id: "queued"}
    else:
        await a_worker(store, expires_s=999)
        (claimed,) = await a_claim(store, seconds=130)
        settled = await told(store, claimed, DONE if end == "succeeded" else FATAL, seconds=130)
        assert settled.released is not None
        assert (settled.released.id, settled.released.state) == (second.id, RunState.QUEUED)
    assert (await store.run(second.id)).state is RunState.QUEUED
    assert [event.kind for event in await store.events(second.id)] == ["enqueued", "came_due"]
    await a_worker(store, "last", expires_s=999)
    assert [each.run.id for each in await a_claim(store, worker="last", seconds=200)] == [second.id]


async def test_a_retry_or_a_rescue_keeps_the_turn(store: Store) -> None:
    """A run that is tried again is not over; what waits goes on waiting, and no second one joins it."""
    job = await a_job(store, schedule=minutely(overlap="queue_one"), retry=RetryPolicy(base_s=1000, jitter=0))
    await store.tick(now=at(60))
    (second,) = await store.tick(now=at(120))
    await a_worker(store, expires_s=999)
    (claimed,) = await a_claim(store, seconds=130)
    settled = await told(store, claimed, Failed(RunError("busy", "later", retryable=True)), seconds=131)
    assert settled.released is None
    assert (await store.run(second.id)).state is RunState.BLOCKED
    assert await store.tick(now=at(180)) == []
    assert told_of(await store.ticks(job.id))[-1] == ("overlap", 180, 180, 1)


async def test_a_released_run_still_waits_for_its_own_time(store: Store) -> None:
    """With jitter, the end of the run before may come first: the waiting one is scheduled then, and queued in time."""
    schedule = IntervalSchedule(every_s=3600, start_at=at(60), overlap="queue_one", jitter_s=3600)
    await a_job(store, schedule=schedule)
    (first,) = await store.tick(now=at(60))
    assert first.state is RunState.SCHEDULED
    assert at(60) < first.run_at < at(3660)
    (second,) = [run for run in await store.tick(now=at(3660)) if run.id != first.id]
    assert (second.state, second.run_at > at(3660)) == (RunState.BLOCKED, True)
    await store.cancel(first.id, now=at(3661))
    released = await store.run(second.id)
    assert (released.state, released.run_at) == (RunState.SCHEDULED, second.run_at)
    assert (await store.queued_hint()).due_at == second.run_at
    assert [run.state for run in await store.tick(now=second.run_at)] == [RunState.QUEUED]


async def test_runs_made_together_take_turns(store: Store) -> None:
    """A late tick with run_all and queue_one makes two, one after the other; older ones find no room."""
    job = await a_job(store, schedule=minutely(misfire="run_all", overlap="queue_one"))
    runs = await store.tick(now=at(300))
    assert [run.state for run in runs] == ["queued", "blocked"]
    assert told_of(await store.ticks(job.id)) == [
        ("overlap", 60, 180, 3),
        ("fired", 240, 240, 1),
        ("fired", 300, 300, 1),
    ]
    await a_worker(store, expires_s=999)
    assert (await carried(store, 301)).id == runs[0].id
    assert (await carried(store, 302)).id == runs[1].id


async def test_nothing_waits_for_a_run_that_was_not_made(store: Store) -> None:
    """The first of two nominal times had its run before the clock was put back; the second one's starts at once."""
    schedule = minutely(misfire="run_all", overlap="queue_one")
    job = await a_job(store, schedule=schedule)
    (first,) = await store.tick(now=at(60))
    await store.cancel(first.id, now=at(61))
    await saved(store, job, 30)
    (second,) = await store.tick(now=at(120))
    assert (second.interval, second.state) == ((at(60), at(120)), RunState.QUEUED)


async def test_a_draining_queue_takes_no_runs_and_the_ledger_says_so(store: Store) -> None:
    """Its nominal times are passed over, and nothing is cancelled for runs that are not made."""
    job = await a_job(store, schedule=minutely(misfire="run_all", overlap="cancel_old"))
    (first,) = await store.tick(now=at(60))
    await store.set_queue_mode("default", QueueMode.DRAINING, now=at(61))
    assert await store.tick(now=at(180)) == []
    assert (await store.run(first.id)).state is RunState.QUEUED
    assert told_of(await store.ticks(job.id))[1:] == [("overlap", 120, 120, 1), ("draining", 180, 180, 1)]


async def test_failures_in_a_row_pause_the_job_and_the_ledger_says_why(store: Store) -> None:
    """The second failure in a row is the last; a success or a new version begins the count anew."""
    job = await a_job(store, schedule=minutely(pause_after_failures=2))
    await a_worker(store, expires_s=9999)
    for seconds, result in ((60, FATAL), (120, DONE), (180, FATAL)):
        await store.tick(now=at(seconds))
        await carried(store, seconds + 1, result)
    job = await saved(store, await store.job(job.id), 190)
    await store.tick(now=at(240))
    await carried(store, 241, FATAL)
    assert not (await store.job(job.id)).paused
    await store.tick(now=at(300))
    last = await carried(store, 301, FATAL)
    paused = await store.job(job.id)
    assert (paused.paused, paused.next_at, paused.version) == (True, None, job.version + 1)
    (why,) = [each for each in await store.ticks(job.id) if each.outcome is TickOutcome.GAVE_UP]
    assert (why.run_id, why.count, why.nominal_at) == (last.id, 2, at(301))
    assert await store.tick(now=at(9000)) == []
    resumed = await saved(store, paused, 500, paused=False)
    assert (resumed.version, resumed.next_at) == (job.version + 2, at(540))
    await store.tick(now=at(540))
    await carried(store, 541, FATAL)
    assert not (await store.job(job.id)).paused


async def test_only_the_last_word_of_scheduled_runs_counts_as_failure(store: Store) -> None:
    """Attempts that are tried again, runs by hand, and runs of an earlier version pause nothing; a lost worker's run does."""
    retry = RetryPolicy(attempts_max=2, base_s=0, jitter=0)
    job = await a_job(store, schedule=minutely(pause_after_failures=1), retry=retry)
    await a_worker(store, expires_s=9999)
    await some_runs(store, job)
    await carried(store, 1, FATAL)
    await store.tick(now=at(60))
    (old,) = await a_claim(store, seconds=61)
    job = await saved(store, job, 62)
    await told(store, old, FATAL, seconds=63)
    await store.tick(now=at(120))
    again = await carried(store, 121, Failed(RunError("busy", "later", retryable=True)))
    assert again.state is RunState.SCHEDULED
    assert not (await store.job(job.id)).paused
    await store.tick(now=at(121))
    for number in range(3):
        await a_worker(store, f"lost{number}", expires_s=9999)
        assert len(await a_claim(store, worker=f"lost{number}", seconds=130)) == 1
        await store.rescue(now=at(130), dead=[f"lost{number}"])
    assert (await store.job(job.id)).paused


async def test_a_pause_for_failures_hides_no_nominal_time(store: Store) -> None:
    """What was due when the job was paused was missed, what came later passed while it was paused."""
    job = await a_job(store, schedule=minutely(pause_after_failures=1))
    await a_worker(store, expires_s=9999)
    await store.tick(now=at(60))
    await carried(store, 130, FATAL)
    await saved(store, await store.job(job.id), 310, paused=False)
    assert told_of(await store.ticks(job.id)) == [
        ("fired", 60, 60, 1),
        ("missed", 120, 120, 1),
        ("gave_up", 130, 130, 1),
        ("paused", 180, 300, 3),
    ]


async def test_a_job_that_is_paused_by_the_tick_for_which_it_is_due_makes_no_run(store: Store) -> None:
    """Its run has waited for too long just when the next nominal time comes: that was missed, and the job stays as it is."""
    job = await a_job(store, schedule=minutely(pause_after_failures=1), queue_timeout_s=60.0)
    (run,) = await store.tick(now=at(60))
    assert [(each.id, each.state) for each in await store.tick(now=at(120))] == [(run.id, RunState.FAILED)]
    paused = await store.job(job.id)
    assert (paused.paused, paused.next_at, paused.version) == (True, None, 2)
    assert sorted(told_of(await store.ticks(job.id))) == [
        ("fired", 60, 60, 1),
        ("gave_up", 120, 120, 1),
        ("missed", 120, 120, 1),
    ]
    assert (await saved(store, paused, 130, paused=False)).version == 3


async def test_saving_during_an_outage_decides_by_the_old_schedule(store: Store) -> None:
    """The run is made of the new version, its time and its interval are those of the schedule that it was due by."""
    job = await a_job(store, schedule=minutely())
    again = await saved(store, job, 185, schedule=CronSchedule(cron="0 0 1 1 *"), pipeline={"b": 2})
    (run,) = await store.runs()
    assert (run.job_version, run.cause, run.interval) == (again.version, "schedule", (NOW, at(180)))
    assert told_of(await store.ticks(job.id)) == [("coalesced", 60, 120, 2), ("fired", 180, 180, 1)]
    assert again.next_at == (await store.job(job.id)).next_at
    await a_worker(store, expires_s=999)
    assert (await carried(store, 186)).id == run.id


@pytest.mark.parametrize("change", [{"paused": True}, {"schedule": None}])
async def test_a_job_that_ends_its_schedule_during_an_outage_has_missed(store: Store, change: dict[str, Any]) -> None:
    """Who pauses a job wants no runs of it; that they would have been due is written down. Nothing due, nothing written."""
    job = await a_job(store, schedule=minutely())
    await saved(store, job, 185, **change)
    assert await store.runs() == []
    assert told_of(await store.ticks(job.id)) == [("missed", 60, 180, 3)]
    other = await a_job(store, name="other", schedule=minutely())
    await saved(store, other, 59, **change)
    assert await store.ticks(other.id) == []


async def test_a_resumed_job_knows_what_passed_while_it_was_paused(store: Store) -> None:
    """One line for the pause, none for what came before it or after."""
    job = await a_job(store, schedule=minutely())
    await store.tick(now=at(60))
    paused = await saved(store, job, 70, paused=True)
    assert await store.tick(now=at(200)) == []
    resumed = await saved(store, paused, 250, paused=False)
    assert resumed.next_at == at(300)
    assert told_of(await store.ticks(job.id)) == [("fired", 60, 60, 1), ("paused", 120, 240, 3)]


@pytest.mark.parametrize(
    ("schedule", "intervals"),
    [
        (
            CronSchedule(cron="0 6 * * *"),
            [("2026-05-03T06:00", "2026-05-04T06:00"), ("2026-05-04T06:00", "2026-05-05T06:00")],
        ),
        (
            CalendarSchedule(unit="month", day=31, at="00:00"),
            [("2026-04-30T00:00", "2026-05-31T00:00"), ("2026-05-31T00:00", "2026-06-30T00:00")],
        ),
        (
            IntervalSchedule(every_s=3600),
            [("2026-05-04T03:02", "2026-05-04T04:02"), ("2026-05-04T04:02", "2026-05-04T05:02")],
        ),
        (OnceSchedule(at=at(60)), [None]),
    ],
)
async def test_intervals_follow_each_other_without_a_gap(
    store: Store, schedule: Schedule, intervals: list[tuple[str, str] | None]
) -> None:
    """From the nominal time before to the run's own; the first begins where the schedule was due before, or was saved."""
    job = await a_job(store, schedule=schedule)
    found: list[tuple[str, str] | None] = []
    while len(found) < len(intervals):
        due_at = (await store.job(job.id)).next_at
        assert due_at is not None
        (run,) = await store.tick(now=due_at)
        kept = (await store.run(run.id)).interval
        assert kept == run.interval
        found.append(kept and (kept[0].isoformat()[:16], kept[1].isoformat()[:16]))
    assert found == intervals


async def test_a_clock_that_jumps_decides_each_nominal_time_once(store: Store) -> None:
    """Forward it is an outage; back again nothing happens until the next time comes."""
    job = await a_job(store, schedule=minutely())
    assert len(await store.tick(now=at(60))) == 1
    assert len(await store.tick(now=at(3600))) == 1
    for seconds in (61, 120, 3600, 3659):
        assert await store.tick(now=at(seconds)) == []
    assert len(await store.tick(now=at(3660))) == 1
    fired = [line for line in told_of(await store.ticks(job.id)) if line[0] == "fired"]
    assert [line[1] for line in fired] == [60, 3600, 3660]


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue_one", "cancel_old"])
async def test_whoever_saves_by_an_earlier_time_decides_nothing_again(store: Store, overlap: Any) -> None:
    """He asked for the time, and had to wait for those who ticked or saved by a later one: what is decided by then stays so."""
    job = await a_job(store, schedule=minutely(overlap=overlap))
    (run,) = await store.tick(now=at(60))
    job = await saved(store, job, 59.9)
    assert (job.next_at, job.updated_at) == (at(120), at(60))
    job = await saved(store, job, 65, paused=True)
    await saved(store, job, 50, paused=False)
    assert await store.tick(now=at(119)) == []
    assert (await store.run(run.id)).state is RunState.QUEUED
    assert told_of(await store.ticks(job.id)) == [("fired", 60, 60, 1)]


async def test_a_pause_for_failures_by_an_earlier_time_decides_nothing_again(store: Store) -> None:
    """The end of the last run waited for a tick that had the time after it: that nominal time did not pass while it was paused."""
    job = await a_job(store, schedule=minutely(pause_after_failures=1))
    await a_worker(store, expires_s=9999)
    await store.tick(now=at(60))
    (claimed,) = await a_claim(store, seconds=61)
    await store.tick(now=at(120))
    await told(store, claimed, FATAL, seconds=119.9)
    await saved(store, await store.job(job.id), 250, paused=False)
    lines = [line for line in told_of(await store.ticks(job.id)) if line[0] != "gave_up"]
    assert lines == [("fired", 60, 60, 1), ("fired", 120, 120, 1), ("paused", 180, 240, 2)]


async def test_a_limit_that_counts_by_a_parameter_needs_a_schedule_that_gives_it(store: Store) -> None:
    """Refused when the job is saved, with the place and what would do; given, the limit counts by it."""
    await store.save_limit(LimitDraft(name="customer", slots=1), now=NOW)
    with pytest.raises(Invalid) as refused:
        await a_job(store, schedule=minutely(), limit=LimitUse("customer", by="id"))
    assert (refused.value.problems[0].pointer, refused.value.reason) == ("/schedule/params/id", "limit_key")
    await a_job(store, schedule=minutely(params={"id": "x"}), limit=LimitUse("customer", by="id"))
    (run,) = await store.tick(now=at(60))
    assert (run.params, run.limit_key) == ({"id": "x"}, "customer/x")


async def test_of_many_nodes_one_makes_the_run_of_a_nominal_time(url: str) -> None:
    """Stores that tick at the same time, while others settle and cancel: every nominal time of every job has one line."""
    async with open_store(url, rng=Random(1)) as store:
        jobs = [
            await a_job(store, name=f"job{number}", schedule=minutely(overlap=rule))
            for number, rule in enumerate(["allow", "skip", "queue_one", "cancel_old"] * 5)
        ]
        await a_worker(store, expires_s=99_999)
        if url.startswith("postgresql"):
            async with open_store(url, rng=Random(2)) as second, open_store(url, rng=Random(3)) as third:
                await _tick_together([store, second, third], store)
        else:
            await _tick_together([store, store, store], store)
        for job in jobs:
            decided = told_of(await store.ticks(job.id))
            assert [line[1] for line in decided] == [60.0 * n for n in range(1, 11)]
            assert all(line[0] in ("fired", "overlap") and line[3] == 1 for line in decided)
            runs = [each.run_id for each in await store.ticks(job.id) if each.run_id is not None]
            made = [run for run in await store.runs(limit=1000) if run.job_id == job.id]
            assert sorted(runs) == sorted(run.id for run in made)
        while claimed := (await store.claim("w", limit=100, now=at(700))).claimed:
            for each in claimed:
                await told(store, each, DONE, seconds=701)
        assert {run.state for run in await store.runs(limit=1000)} <= {RunState.SUCCEEDED, RunState.CANCELLED}


async def _tick_together(nodes: list[Store], worker: Store) -> None:
    """Ten nominal times: all nodes tick at each until it is decided, and a worker carries runs meanwhile."""

    async def tick(node: Store, seconds: float) -> None:
        while (due_at := (await node.queued_hint()).due_at) is not None and due_at <= at(seconds):
            await node.tick(now=at(seconds), limit=7)

    async def work(seconds: float) -> None:
        for each in (await worker.claim("w", limit=6, now=at(seconds))).claimed:
            await told(worker, each, DONE, seconds=seconds)

    for minute in range(1, 11):
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(tick, node, 60.0 * minute)
            nursery.start_soon(work, 60.0 * minute)


class Crash(Exception):
    """The process dies here."""


class Fragile:
    """A connection on which the process dies before one of its statements."""

    def __init__(self, db: Any, left: int) -> None:
        self._db = db
        self._left = left

    def __getattr__(self, name: str) -> Any:
        if self._left == 0:
            raise Crash
        self._left -= 1
        return getattr(self._db, name)


CRASHED = minutely(misfire="run_all", overlap="cancel_old", catch_up_max=2)


async def _prepared(store: Store) -> Job:
    """A job with a run that waits, and nominal times of an outage."""
    job = await a_job(store, schedule=CRASHED)
    await store.tick(now=at(60))
    return job


async def _assert_whole(store: Store, job: Job, *, done: bool) -> None:
    runs = await store.runs()
    assert len(runs) == (2 if done else 1)
    assert len(await store.ticks(job.id)) == (4 if done else 1)
    assert (await store.job(job.id)).next_at == at(360 if done else 120)
    assert (runs[-1].state is RunState.CANCELLED) == done


async def test_a_crash_amid_a_tick_leaves_nothing_half_on_sqlite(tmp_path: Any) -> None:
    """Whichever statement it comes before, either all of the tick is there or nothing of it."""
    file = tmp_path / "store"
    async with open_store(f"sqlite:{file}") as store:
        job = await _prepared(store)
    db = sqlite3.connect(file, isolation_level=None)
    sqlite_schema.migrate(db)
    statements, crashed = 0, True
    while crashed:
        db.execute("BEGIN IMMEDIATE")
        try:
            sqlite_ticking.tick(Fragile(db, statements), SqliteDefinitions(), Ids(Random(1)), at(305), 500)  # type: ignore[arg-type]
            crashed = False
            db.execute("COMMIT")
        except Crash:
            db.execute("ROLLBACK")
        async with open_store(f"sqlite:{file}") as store:
            await _assert_whole(store, job, done=not crashed)
        statements += 1
    db.close()
    assert statements > 8


async def test_a_crash_amid_a_tick_leaves_nothing_half_on_postgres(new_database: Callable[[], str]) -> None:
    """Whichever statement it comes before, either all of the tick is there or nothing of it."""
    address = new_database()
    async with open_store(address) as store, open_bridge(address, postgres_schema.SCHEMA) as bridge:
        job = await _prepared(store)
        statements, crashed = 0, True
        while crashed:

            async def unit(db: Db, left: int = statements) -> None:
                fragile: Any = Fragile(db, left)
                await postgres_ticking.tick(fragile, PostgresDefinitions(), Ids(Random(1)), at(305), 500, 0)

            try:
                await bridge.run(unit)
                crashed = False
            except Crash:
                pass
            await _assert_whole(store, job, done=not crashed)
            statements += 1
    assert statements > 8


async def test_the_ledger_is_kept_as_long_as_runs_are(store: Store) -> None:
    """Lines that were written too long ago are removed, oldest first and so many a call; without an age none is."""
    job = await a_job(store, schedule=minutely())
    for minute in range(1, 6):
        await store.tick(now=at(60 * minute))
    assert (await store.tidy(Keep(age_s=None), now=at(9999))).ticks_removed == 0
    first = await store.tidy(Keep(age_s=60), now=at(301), limit=2)
    assert (first.ticks_removed, first.more) == (2, True)
    assert [line[1] for line in told_of(await store.ticks(job.id))] == [180, 240, 300]
    rest = await store.tidy(Keep(age_s=60), now=at(301), limit=3)
    assert (rest.ticks_removed, rest.more) == (2, False)
    assert [line[1] for line in told_of(await store.ticks(job.id))] == [300]


LOOKS = (
    sqlite_ledger.FORGET,
    sqlite_ticking.DUE_JOBS,
    sqlite_ticking.UNFINISHED,
    sqlite_ticking.HINT,
    sqlite_turns.NEXT_IN_TURN,
    sqlite_repeats.IN_TURN,
    sqlite_cancelling.OF_SCHEDULE,
)


def test_what_a_tick_looks_for_is_found_by_an_index_on_sqlite() -> None:
    """However many jobs and runs there are, no statement of a tick walks over all of them."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    sqlite_schema.migrate(db)
    for look in LOOKS:
        values: Any = {"job": "j"} if ":job" in look else ("j", 1)[: look.count("?")]
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {look}", values)]
        steps = [step for step in plan if step.startswith(("SCAN", "SEARCH"))]
        walks = [step for step in steps if not re.search(r"INDEX|CONSTANT ROW|\(", step)]
        assert walks == [], (look, plan)
    db.close()


WAITING = """
    /* watcher */ SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query !~ 'watcher'
"""


@pytest.mark.parametrize("end", ["told", "told_by_another", "cancelled", "lost", "left"])
async def test_a_run_that_ends_while_a_tick_decides_is_not_waited_for(
    new_database: Callable[[], str], end: str
) -> None:
    """The tick of one node has seen it unfinished and is not through yet: who ends it waits, and then lets go on what waits."""
    address, released = new_database(), trio.Event()
    async with open_store(address) as store, open_store(address) as other, open_bridge(address, "etlplus") as bridge:
        await a_job(store, schedule=minutely(overlap="queue_one"))
        (first,) = await store.tick(now=at(60))
        await a_worker(store, expires_s=999)
        if end != "cancelled":
            (claimed,) = await a_claim(store, seconds=61)
        if end in ("lost", "left"):
            await store.cancel(first.id, now=at(62))

        async def slow_tick(db: Db) -> None:
            await postgres_ticking.tick(db, PostgresDefinitions(), Ids(Random(1)), at(120), 500, 0)
            decided.set()
            while not released.is_set():
                await db.execute("/* watcher */ SELECT pg_sleep(0.01)")

        async def let_end() -> None:
            if end == "cancelled":
                await store.cancel(first.id, now=at(121))
            elif end == "lost":
                await store.rescue(now=at(121), dead=["w"])
            elif end == "left":
                await store.leave("w", now=at(121))
            else:
                assert (await told(store if end == "told" else other, claimed, DONE, seconds=121)).applied
            ended.set()

        decided, ended = trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.run, slow_tick)
            await decided.wait()
            nursery.start_soon(let_end)
            with trio.fail_after(40):
                while not ended.is_set() and not await bridge.run(lambda db: db.fetchval(WAITING), atomic=False):  # noqa: ASYNC110 - PostgreSQL tells nobody
                    await trio.sleep(0.01)
            released.set()
        second, _ = await store.runs()
        assert (await store.run(first.id)).state.is_final
        assert second.state is RunState.QUEUED
