"""
A runner: carries one attempt at a time, from the claim to the outcome.

It owns the attempt's engine call and nothing else; the attempt itself lies in the runner's slot, which outlives a crash, so
a restarted runner settles what its predecessor left. An attempt ends in exactly one outcome, whatever happens to it:
finished, failed, timed out, cancelled by a person, or returned because the worker drains or lost its lease.
"""

from __future__ import annotations

from typing import Any

import structlog
import trio

from etlplus.actors.messages import (
    BROADCASTER,
    COMPLETER,
    DISPATCHER,
    AnnounceProgress,
    Carried,
    Carry,
    Carrying,
    Flush,
    StopCarrying,
    Wake,
)
from etlplus.actors.standing import Slot, Standing
from etlplus.engines.contract import Engine, Lease, Work
from etlplus.errors import Unavailable
from etlplus.jobs.model import Run
from etlplus.jobs.outcome import Cancelled, Failed, Progress, Result, Returned, RunError
from etlplus.runtime import Actor, Exit
from etlplus.store.contract import Claimed, LeaseStore, Outcome
from etlplus.telemetry import about_run

log = structlog.get_logger()


class Runner(Actor[Carrying]):
    """See the module.

    Args:
        drain_s: How long an attempt in hand may go on once the worker stops, in seconds.
    """

    def __init__(self, slot: Slot, store: LeaseStore, engine: Engine, standing: Standing, *, drain_s: float) -> None:
        self._slot = slot
        self._store = store
        self._engine = engine
        self._standing = standing
        self._drain_s = drain_s
        self._scope: trio.CancelScope | None = None
        self._why: Result = Cancelled()
        self._ended = trio.Event()

    async def started(self) -> None:
        if self._slot.claimed is not None:
            crashed = RunError("internal", "the runner crashed while it carried the attempt", retryable=True)
            self._settle(self._slot.result or Failed(crashed))

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        """Let the attempt in hand finish within the drain budget, else give the run back."""
        if self._slot.claimed is None:
            return
        with trio.move_on_after(self._drain_s):
            await self._ended_or_hurry()
        if not self._ended.is_set():
            self._interrupt(Returned("the worker is stopping"))
            await self._ended.wait()
        self._settle(self._slot.result or Returned("the worker is stopping"))

    async def _ended_or_hurry(self) -> None:
        async with trio.open_nursery() as nursery:

            async def first(event: trio.Event) -> None:
                await event.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(first, self._ended)
            nursery.start_soon(first, self._standing.hurry)

    @Carry.handler
    def carry(self, message: Carry) -> None:
        if self._slot.claimed is None:
            return  # settled by started(), after a crash between the claim and this message
        self._ended = trio.Event()
        self.ctx.pipe(self._attempt(self._slot.claimed, self._standing.lease), Carried, self._broken)

    @StopCarrying.handler
    def stop(self, message: StopCarrying) -> None:
        if self._slot.claimed is not None and self._slot.claimed.run.id == message.run_id:
            self._interrupt(Cancelled())

    @Carried.handler
    def carried(self, message: Carried) -> None:
        self._settle(message.result)

    def _broken(self, error: Exception) -> Carried:
        log.error("engine_broke", run=self._run.id, attempt=self._run.attempt, exc_info=error)
        return Carried(Failed(RunError("internal", f"the engine broke: {error}", retryable=True)))

    @property
    def _run(self) -> Run:
        assert self._slot.claimed is not None
        return self._slot.claimed.run

    def _interrupt(self, why: Result) -> None:
        self._why = why
        if self._scope is not None:
            self._scope.cancel()

    async def _attempt(self, claimed: Claimed, lease: Lease) -> Result:
        """Execute the attempt; its result is kept in the slot before anybody hears of it."""
        reports = _Reports(self, self._store, claimed.run, self._standing)
        try:
            with about_run(claimed.run.id, claimed.run.attempt):
                self._slot.result = await self._execute(claimed, lease, reports)
        finally:
            self._ended.set()
        return self._slot.result

    async def _execute(self, claimed: Claimed, lease: Lease, reports: _Reports) -> Result:
        left_s, error = self._time_for(claimed)
        self._scope = trio.CancelScope()
        with trio.move_on_after(left_s) as timeout, self._scope:
            return await self._engine.execute(work_of(claimed), lease, reports)
        return Failed(error) if timeout.cancelled_caught else self._why

    def _time_for(self, claimed: Claimed) -> tuple[float, RunError]:
        """How long the attempt may take, in seconds, and the error if it takes longer."""
        timeout_s = claimed.job.timeout_s if claimed.job.timeout_s is not None else float("inf")
        if claimed.run.deadline_at is not None:
            left_s = max((claimed.run.deadline_at - self._standing.now()).total_seconds(), 0.0)
            if left_s < timeout_s:
                return left_s, RunError("total_timeout", "the run was not done by its deadline")
        return timeout_s, RunError("timeout", f"the attempt took longer than {timeout_s} s", retryable=True)

    def _settle(self, result: Result) -> None:
        """Put the outcome into the outbox and free the slot, in one go without a cancel point between."""
        run = self._run
        self._standing.outbox.append(
            Outcome(run_id=run.id, attempt=run.attempt, worker_id=run.worker_id or "", result=result)
        )
        self._slot.claimed = self._slot.result = self._scope = None
        self.ctx.ref(COMPLETER).offer(Flush())
        self.ctx.ref(DISPATCHER).offer(Wake())

    def say_progress(self, run: Run, progress: Progress) -> None:
        """Tell the watchers; when they are too busy to hear it, the next report will do."""
        news = AnnounceProgress(run.id, run.version, run.attempt, progress)
        if not self.ctx.ref(BROADCASTER).offer(news):
            log.debug("progress_not_told", run=run.id)


class _Reports:
    """What the engine tells about one attempt while it works."""

    def __init__(self, runner: Runner, store: LeaseStore, run: Run, standing: Standing) -> None:
        self._runner = runner
        self._store = store
        self._run = run
        self._standing = standing

    def progress(self, progress: Progress) -> None:
        self._runner.say_progress(self._run, progress)

    async def freeze(self, bounds: dict[str, Any]) -> None:
        """Keep the sources' bounds; go on asking while the store is out, since the lease bounds the wait."""
        while True:
            try:
                await self._store.freeze(self._run.id, self._run.attempt, bounds, now=self._standing.now())
            except Unavailable as error:
                log.warning("bounds_wait", run=self._run.id, error=str(error))
                await trio.sleep(0.5)
            else:
                return


def work_of(claimed: Claimed) -> Work:
    """The attempt as the engine needs it."""
    run, job = claimed.run, claimed.job
    return Work(
        run_id=run.id,
        attempt=run.attempt,
        job_id=job.id,
        job_name=job.name,
        plan=job.pipeline,
        params=run.params,
        interval=(run.interval[0].isoformat(), run.interval[1].isoformat()) if run.interval else None,
        bounds=run.bounds,
        memory_limit_bytes=job.memory_limit_bytes,
        base_dir=job.base_dir,
    )
