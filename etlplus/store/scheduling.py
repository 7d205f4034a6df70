"""
What a store writes for a schedule: runs, lines of the ledger, and the job as it is afterwards. Both bodies ask this, and then
write what came out in one unit.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from etlplus.jobs import transitions
from etlplus.jobs.intervals import data_intervals
from etlplus.jobs.model import Job, NewRun, Run, RunState
from etlplus.jobs.passing import Passing, passed_over
from etlplus.jobs.schedule import Decision, decide, held_back, pauses
from etlplus.jobs.schedules import OnceSchedule
from etlplus.jobs.ticks import SCHEDULED, Tick, fired, gave_up, passed
from etlplus.store.kept import Entry

UNFINISHED_MAX = 2
"""Whether a schedule has none, one or more unfinished runs is all that matters to its overlap rule."""


WAITED_MAX = timedelta(seconds=20)
"""Who asked for the time may have waited so long for the job that others have meanwhile decided it by a later one: a node that
stands still amid a unit holds what it has locked for ten seconds.
"""
_TICK = timedelta(microseconds=1)


def present_time(now: datetime, job: Job, decided_at: datetime | None) -> datetime:
    """
    The time by which a job is saved: not before the one by which it was saved or decided last, or else nominal times between the
    two would be decided again. What is further ahead tells that the clock was put back since.

    Args:
        decided_at: Of the newest line of the job's ledger.
    """
    ahead = [each for each in (job.updated_at, decided_at) if each is not None and now < each <= now + WAITED_MAX]
    return max(ahead, default=now)


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around a job when its schedule is decided: its unfinished scheduled runs, and whether its queue takes none."""

    unfinished: int = 0
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run to make, if its line in the ledger is new."""

    run_id: str
    wish: NewRun
    waits: bool


@dataclass(frozen=True, slots=True)
class Planned:
    """What to write: the job as it is now, lines of the ledger, runs, and whether the scheduled runs that are unfinished are
    to be cancelled.
    """

    job: Job
    ticks: Sequence[Tick] = ()
    wanted: Sequence[Wanted] = ()
    cancels: bool = False
    unfinished: int = 0

    def made(self, new: Container[str], now: datetime) -> list[Run]:
        """The runs whose lines were new; each that takes turns waits for those before it, if there are any."""
        runs: list[Run] = []
        for each in self.wanted:
            if each.run_id in new:
                blocked = each.waits and bool(self.unfinished or runs)
                runs.append(transitions.enqueue(each.wish, self.job, each.run_id, now, blocked=blocked)[0])
        return runs


def planned(job: Job, around: Around, new_id: Callable[[], str], now: datetime) -> Planned:
    """What a tick does about a job whose next nominal time has come."""
    decision = _decided(job, around, now)
    return _plan(job, replace(job, next_at=decision.next_at), decision, around.unfinished, new_id, now)


def saved_over(present: Job, saved: Job, around: Around, new_id: Callable[[], str], now: datetime) -> Planned:
    """
    What becomes of nominal times that nothing has ticked for when their job is saved.

    The schedule that they belong to decides; runs are made of what was saved. If that makes no scheduled runs any more,
    they were missed; what passed while the job was paused is written down, too.
    """
    if present.next_at is None:
        return Planned(saved, ticks=_while_paused(present, now))
    if saved.paused or saved.schedule is None:
        return Planned(saved, ticks=_missed(present, now))
    if present.next_at > now:
        return Planned(saved)
    return _plan(present, saved, _decided(present, around, now), around.unfinished, new_id, now)


def concerns_schedule(entry: Entry) -> bool:
    """Whether a run of a schedule ends with this transition, so that others may go on or the job may be paused."""
    return ends_turn(entry.run)


def ends_turn(run: Run) -> bool:
    """Whether others of its schedule may have waited for this run, and go on now."""
    return run.cause == SCHEDULED and run.state.is_final


def counts_failures(run: Run, job: Job) -> bool:
    """Whether the end of a run counts for its job's pausing: as a failure, or as the end of a row of them.

    Args:
        job: The version that the run was made from.
    """
    if job.schedule is None or isinstance(job.schedule, OnceSchedule) or job.schedule.pause_after_failures is None:
        return False
    return run.state in (RunState.FAILED, RunState.SUCCEEDED)


def after_failure(job: Job, failures: int, run: Run, now: datetime) -> Planned | None:
    """The pause of a job after so many of its scheduled runs in a row have failed, ``run`` the last; None if it goes on."""
    if job.schedule is None or job.paused or not pauses(job.schedule, failures):
        return None
    pause = replace(job, version=job.version + 1, paused=True, next_at=None, updated_at=now)
    return Planned(pause, ticks=[*_missed(job, now), gave_up(job.id, run.id, failures, now)])


def _decided(job: Job, around: Around, now: datetime) -> Decision:
    assert job.schedule is not None
    assert job.next_at is not None
    decision = decide(
        job.schedule,
        job_id=job.id,
        saved_at=job.updated_at,
        due_at=job.next_at,
        now=now,
        unfinished=around.unfinished,
    )
    return held_back(decision) if around.draining else decision


def _plan(
    decided: Job, made_of: Job, decision: Decision, unfinished: int, new_id: Callable[[], str], now: datetime
) -> Planned:
    assert decided.schedule is not None
    wanted: list[Wanted] = []
    ticks = [passed(made_of.id, each, now) for each in decision.passed]
    params = made_of.schedule.given if made_of.schedule is not None else {}
    intervals = data_intervals(decided.schedule, decided.updated_at, decision)
    for each, interval in zip(decision.fired, intervals, strict=True):
        wish = NewRun(
            job_id=made_of.id, params=params, run_at=max(each.run_at, now), cause=SCHEDULED, interval=interval
        )
        wanted.append(Wanted(new_id(), wish, each.waits))
        ticks.append(fired(made_of.id, wanted[-1].run_id, each, now))
    return Planned(made_of, ticks, wanted, decision.cancel_unfinished, unfinished)


def _missed(job: Job, now: datetime) -> list[Tick]:
    """Nominal times that are due and will not be decided by a tick any more."""
    if job.schedule is None or job.next_at is None or job.next_at > now:
        return []
    found = passed_over(job.schedule, job.updated_at, job.next_at - _TICK, now, Passing.MISSED)
    return [passed(job.id, found, now)] if found else []


def _while_paused(job: Job, now: datetime) -> list[Tick]:
    if job.schedule is None or not job.paused:
        return []
    found = passed_over(job.schedule, job.updated_at, job.updated_at, now, Passing.PAUSED)
    return [passed(job.id, found, now)] if found else []
