"""
What each happening makes of a run: the record afterwards, and the event that tells of it.

Stores call these inside their units and write what they get; they decide nothing themselves. Each function makes exactly
one transition, so ``version`` grows by one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

from msgspec.structs import replace

from etlplus.jobs.lifecycle import Happening, after
from etlplus.jobs.model import Attempt, AttemptEnd, Job, NewRun, Run, RunEvent, RunState
from etlplus.jobs.outcome import Cancelled, Failed, Result, Returned, RunError, Succeeded
from etlplus.jobs.queues import limit_key
from etlplus.jobs.retry import retry_wait_s

Change = tuple[Run, RunEvent]


def enqueue(wish: NewRun, job: Job, run_id: str, now: datetime, *, blocked: bool = False) -> Change:
    """A new run of a job's present version; ``blocked``, it waits for other runs before it waits for its time."""
    waits = wish.run_at is not None and wish.run_at > now
    run_at = wish.run_at or now
    deadline_at = _later(max(run_at, now), job.total_timeout_s)
    run = Run(
        id=run_id,
        job_id=job.id,
        job_name=job.name,
        job_version=job.version,
        state=RunState.BLOCKED if blocked else RunState.SCHEDULED if waits else RunState.QUEUED,
        queue=job.queue,
        priority=job.priority if wish.priority is None else wish.priority,
        labels=job.demands,
        limit=job.limit.name if job.limit else None,
        limit_key=limit_key(job.limit, wish.params, job.pipeline),
        run_at=run_at,
        created_at=now,
        params=wish.params,
        attempts_max=job.retry.attempts_max,
        poison_after=job.poison_after,
        cause=wish.cause,
        unique_key=wish.unique_key,
        queue_timeout_s=job.queue_timeout_s,
        waits_until=deadline_at if blocked else _earlier(_later(max(run_at, now), job.queue_timeout_s), deadline_at),
        deadline_at=deadline_at,
        replay_of=wish.replay_of,
        interval=wish.interval,
    )
    return run, enqueued(run)


def enqueued(run: Run) -> RunEvent:
    """The event that tells of a run's making, from the run as it was made."""
    return _event(run, Happening.ENQUEUED, run.created_at, {"cause": run.cause})


def replaced(run: Run, wish: NewRun, job: Job, now: datetime) -> Change:
    """A waiting run takes the parameters and the interval of another wish."""
    key = limit_key(job.limit, wish.params, job.pipeline)
    detail = {"cause": wish.cause}
    return _change(run, Happening.REPLACED, now, detail, params=wish.params, interval=wish.interval, limit_key=key)


def come_due(run: Run, now: datetime) -> Change:
    """The time that a scheduled run waited for has come."""
    return _change(run, Happening.CAME_DUE, now, {})


def release(run: Run, now: datetime) -> Change:
    """The runs that a blocked run waited for are over; if its time has not come, it waits for that now."""
    happening = Happening.CAME_DUE if run.run_at <= now else Happening.RELEASED
    return _change(run, happening, now, {}, waits_until=_waits_until(run, max(run.run_at, now)))


def time_out(run: Run, now: datetime) -> Change:
    """A waiting run has waited as long as it may."""
    if run.deadline_at is not None and run.deadline_at <= now:
        error = RunError("total_timeout", "the run was not done by its deadline")
    else:
        error = RunError("queue_timeout", f"nobody took the run within {run.queue_timeout_s:g} s")
    return _finish(run, Happening.TIMED_OUT, now, {"code": error.code}, error=error)


def claim(run: Run, worker_id: str, now: datetime) -> Change:
    """A worker takes a queued run and begins its next attempt."""
    return _change(
        run,
        Happening.CLAIMED,
        now,
        {"worker": worker_id},
        worker_id=worker_id,
        attempt=run.attempt + 1,
        started_at=run.started_at or now,
    )


def begun(run: Run, worker_id: str, now: datetime) -> Attempt:
    """The attempt that a claim has just begun."""
    return Attempt(run_id=run.id, number=run.attempt, worker_id=worker_id, started_at=now)


def cancel(run: Run, now: datetime) -> Change:
    """Somebody asks for the end of an unfinished run."""
    if run.state is RunState.RUNNING:
        return _change(run, Happening.CANCEL_REQUESTED, now, {}, cancel_requested=True)
    return _change(run, Happening.CANCELLED, now, {}, cancel_requested=True, finished_at=now)


def settle(run: Run, job: Job, result: Result, now: datetime, rng: Random) -> Change:
    """The attempt of a running run has ended; the store has checked that this attempt holds it.

    A cancellation that was asked for wins over a retry and over giving back, but not over a finished load.
    """
    if isinstance(result, Succeeded):
        return _finish(run, Happening.SUCCEEDED, now, {}, figures=result.figures, error=None)
    if isinstance(result, Cancelled) or (run.cancel_requested and not isinstance(result, Failed)):
        return _finish(run, Happening.CANCELLED, now, {})
    if isinstance(result, Returned):
        return _requeue(run, Happening.RETURNED, now, {"reason": result.reason})
    return _settle_failure(run, job, result, now, rng)


def rescue(run: Run, now: datetime) -> Change:
    """The worker of a running run was lost."""
    if run.cancel_requested:
        return _finish(run, Happening.CANCELLED, now, {"worker": run.worker_id})
    rescues = run.rescues + 1
    error = _losses(run, rescues, now)
    if rescues >= run.poison_after:
        return _finish(run, Happening.POISONED, now, {"worker": run.worker_id}, error=error, rescues=rescues)
    return _requeue(run, Happening.RESCUED, now, {"worker": run.worker_id}, error=error, rescues=rescues)


def _losses(run: Run, rescues: int, now: datetime) -> RunError:
    """What there is to tell of the workers that were lost over a run: each of them, with its attempt."""
    before = run.error.problems if run.rescues and run.error else ()
    lost = f"attempt {run.attempt}: worker {run.worker_id} was lost, as found at {now:%Y-%m-%d %H:%M:%SZ}"
    some = "1 worker was" if rescues == 1 else f"{rescues} workers were"
    return RunError("worker_lost", f"{some} lost while carrying this run", problems=(*before, lost))


def ended(attempt: Attempt, result: Result | None, now: datetime) -> Attempt:
    """The attempt after its end; without a result its worker was lost."""
    how: AttemptEnd = "lost"
    error: RunError | None = None
    match result:
        case Succeeded(figures):
            return replace(attempt, finished_at=now, ended="succeeded", figures=figures)
        case Failed(error, figures):
            return replace(attempt, finished_at=now, ended="failed", error=error, figures=figures)
        case Cancelled():
            how = "cancelled"
        case Returned(reason):
            how, error = "returned", RunError("returned", reason, retryable=True)
        case None:
            error = RunError("worker_lost", "the worker was lost", retryable=True)
    return replace(attempt, finished_at=now, ended=how, error=error)


def _settle_failure(run: Run, job: Job, result: Failed, now: datetime, rng: Random) -> Change:
    spent = run.attempts_spent + 1
    detail = {"code": result.error.code}
    if run.cancel_requested:
        return _finish(run, Happening.CANCELLED, now, detail, error=result.error)
    wait_s = retry_wait_s(job.retry, result.error, attempts_spent=spent, attempts_max=run.attempts_max, rng=rng)
    run_at = now + timedelta(seconds=wait_s or 0)
    if wait_s is None or (run.deadline_at is not None and run_at >= run.deadline_at):
        return _finish(
            run, Happening.FAILED, now, detail, error=result.error, figures=result.figures, attempts_spent=spent
        )
    return _change(
        run,
        Happening.RETRIED,
        now,
        detail | {"run_at": run_at},
        run_at=run_at,
        error=result.error,
        attempts_spent=spent,
        rescues=0,
        worker_id=None,
        waits_until=_waits_until(run, run_at),
    )


def _requeue(run: Run, happening: Happening, now: datetime, detail: dict[str, Any], **changes: Any) -> Change:
    return _change(run, happening, now, detail, worker_id=None, waits_until=_waits_until(run, now), **changes)


def _waits_until(run: Run, since: datetime) -> datetime | None:
    return _earlier(_later(since, run.queue_timeout_s), run.deadline_at)


def _later(moment: datetime, by_s: float | None) -> datetime | None:
    return None if by_s is None else moment + timedelta(seconds=by_s)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(one, other) if one and other else one or other


def _finish(run: Run, happening: Happening, now: datetime, detail: dict[str, Any], **changes: Any) -> Change:
    return _change(run, happening, now, detail, worker_id=None, finished_at=now, **changes)


def _change(run: Run, happening: Happening, now: datetime, detail: dict[str, Any], **changes: Any) -> Change:
    changed = replace(run, state=after(run.state, happening), version=run.version + 1, **changes)
    return changed, _event(changed, happening, now, detail)


def _event(run: Run, happening: Happening, now: datetime, detail: dict[str, Any]) -> RunEvent:
    return RunEvent(
        run_id=run.id, version=run.version, at=now, kind=happening, state=run.state, attempt=run.attempt, detail=detail
    )
