"""
A carriage: one attempt in hand, from the claim to its result.

It lies in records that outlive the actors which carry it, so that whoever comes after a crash finds it and settles it. An
attempt ends in exactly one result, whatever happens to it: succeeded, failed, timed out, cancelled by a person, or returned
because the worker stops or lost its lease.
"""

from __future__ import annotations

import math
import traceback
from datetime import datetime
from typing import Protocol

import trio

from etlplus.engines.contract import Lease, Reports, Work
from etlplus.jobs.outcome import Cancelled, Failed, Result, RunError
from etlplus.store.contract import Claimed, Outcome
from etlplus.telemetry import about_run

CRASHED = Failed(RunError("internal", "the actor that carried the attempt crashed", retryable=True))


Fence = tuple[str, int]
"""An attempt, by its run and its number."""


class Executing(Protocol):
    """What is asked of an engine here."""

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result: ...


class Ending(Reports, Protocol):
    """Reports that want to know of the end."""

    async def end(self) -> None: ...


class Carriage:
    """See the module.

    Attributes:
        lease: The right under which the attempt is carried.
        result: How it ended; None while it goes on.
    """

    def __init__(self, claimed: Claimed, lease: Lease) -> None:
        self.claimed = claimed
        self.lease = lease
        self.result: Result | None = None
        self._scope = trio.CancelScope()
        self._why: Result = Cancelled()
        self._interrupted_at = float("inf")
        self._task: trio.lowlevel.Task | None = None

    @property
    def run_id(self) -> str:
        """The run whose attempt this is."""
        return self.claimed.run.id

    @property
    def fence(self) -> Fence:
        """The attempt. A worker may have two of one run, when it lost one and did not get rid of it yet."""
        return self.claimed.run.id, self.claimed.run.attempt

    def interrupt(self, why: Result) -> None:
        """End the attempt; unless it has committed by then, ``why`` is its result."""
        self._why = why
        self._interrupted_at = min(self._interrupted_at, trio.current_time())
        self._scope.cancel()

    @property
    def unheeded_s(self) -> float:
        """For how long the attempt has gone on, in seconds, since it was told to end or its time was up; 0 if it was not."""
        return max(trio.current_time() - min(self._interrupted_at, self._scope.deadline), 0.0)

    def whereabouts(self) -> str:
        """Where in its code the attempt stands, as a stack of calls."""
        frames = self._task.iter_await_frames() if self._task is not None else iter(())
        return "".join(traceback.StackSummary.extract(frames).format())

    async def carry(self, engine: Executing, reports: Ending, now: datetime) -> None:
        """Execute the attempt in a task of its own, and keep its result before anybody hears of it. Cancelled itself, it has no
        result.
        """
        run, self._task = self.claimed.run, trio.lowlevel.current_task()
        about_run(run.id, run.attempt)
        left_s, late = self._time(now)
        if left_s < math.inf:
            self._scope.deadline = trio.current_time() + left_s
        result: Result | None = None
        with self._scope:
            result = await engine.execute(work_of(self.claimed), self.lease, reports)
        if result is None:
            result = Failed(late) if trio.current_time() >= self._scope.deadline else self._why
        await reports.end()
        self.result = result

    def outcome(self) -> Outcome:
        """What the store is told; an attempt without a result was left by a crash."""
        run = self.claimed.run
        return Outcome(run_id=run.id, attempt=run.attempt, worker_id=run.worker_id or "", result=self.result or CRASHED)

    def _time(self, now: datetime) -> tuple[float, RunError]:
        """How long the attempt may take, in seconds, and the error if it takes longer."""
        job, run = self.claimed.job, self.claimed.run
        timeout_s = job.timeout_s if job.timeout_s is not None else math.inf
        if run.deadline_at is not None:
            left_s = max((run.deadline_at - now).total_seconds(), 0.0)
            if left_s < timeout_s:
                return left_s, RunError("total_timeout", "the run was not done by its deadline")
        return timeout_s, RunError("timeout", f"the attempt took longer than {timeout_s} s", retryable=True)


def work_of(claimed: Claimed) -> Work:
    """The attempt as the engine needs it."""
    run, job = claimed.run, claimed.job
    return Work(
        run_id=run.id,
        attempt=run.attempt,
        job_id=job.id,
        job_name=job.name,
        plan=job.pipeline or {},
        function=job.python,
        command=job.command,
        params=run.params,
        interval=(run.interval[0].isoformat(), run.interval[1].isoformat()) if run.interval else None,
        bounds=run.bounds,
        memory_limit_bytes=job.memory_limit_bytes,
        base_dir=job.base_dir,
    )
