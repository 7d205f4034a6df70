"""
The local engine: each attempt in a child process of this machine.

A fresh child costs a third of a second, so one warm spare per slot waits; a child carries one load and ends, which gives
its memory back. Attempts are admitted while the sum of their memory limits stays within the budget. Rows never enter this
process: it sends the plan and hears progress, counts and the outcome.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import trio
from msgspec.structs import replace

from etlplus.engines.admission import Admission
from etlplus.engines.clock import boottime_s
from etlplus.engines.contract import EngineStatistics, Lease, Reports, Work
from etlplus.engines.frames import (
    Broken,
    Check,
    Checked,
    Done,
    Ended,
    Extend,
    Freeze,
    GarbledFrame,
    Load,
    Reported,
    Stored,
)
from etlplus.engines.order import LoadOrder
from etlplus.engines.process import ChildLost, ChildProcess, kill_survivors, spawn
from etlplus.errors import Problem, Unavailable
from etlplus.jobs.outcome import Failed, Result, Returned, RunError, Succeeded

log = structlog.get_logger()

MEMORY_LOOK_S = 0.25
LEASE_MARGIN_S = 0.5
CHECK_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How the local engine works.

    ``memory_limit_bytes`` holds for attempts that name none; ``memory_budget_bytes`` bounds the sum over all attempts.
    ``stop_grace_s`` is what a child gets to roll back before it is killed.
    """

    data_dir: Path
    slots: int
    memory_limit_bytes: int = 1024**3
    memory_budget_bytes: int = 16 * 1024**3
    stop_grace_s: float = 3.0
    child_module: str = "etlplus.engines.child"


class Local:
    """See the module. Made by ``open_local``."""

    def __init__(self, options: LocalOptions, nursery: trio.Nursery) -> None:
        self._options = options
        self._nursery = nursery
        self._records = options.data_dir / "children"
        self._rejects = options.data_dir / "rejects"
        self._work = options.data_dir / "work"
        self._admission = Admission(options.memory_budget_bytes)
        self._spares: list[ChildProcess] = []
        self._working: set[ChildProcess] = set()
        self._refill = trio.Event()
        self._spawned = self._killed = 0

    def prepare(self) -> None:
        """Make the folders, and end what a dead daemon left."""
        shutil.rmtree(self._work, ignore_errors=True)
        for folder in (self._records, self._rejects, self._work):
            folder.mkdir(parents=True, exist_ok=True)
        if survivors := kill_survivors(self._records):
            log.warning("survivors_killed", pids=survivors)

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        limit = work.memory_limit_bytes or self._options.memory_limit_bytes
        async with self._admission.admit(limit):
            order = self._order(work, limit)
            try:
                async with self._child() as child:
                    return await _Attempt(child, lease, reports, limit).carry(Load(order, lease.deadline))
            except ChildLost as lost:
                return Failed(RunError("engine_lost", str(lost), retryable=True))
            finally:
                shutil.rmtree(order.work_dir, ignore_errors=True)

    async def check(self, plan: dict[str, Any], params: dict[str, Any], base_dir: str) -> tuple[Problem, ...]:
        """See the contract.

        Raises:
            Unavailable: no child could say.
        """
        work = Work(run_id="check", attempt=0, job_id="check", job_name="check", plan=plan, params=params, base_dir=base_dir)
        order = self._order(work, self._options.memory_limit_bytes)
        try:
            async with self._child() as child:
                await child.send(Check(order))
                with trio.move_on_after(CHECK_WITHIN_S):
                    if isinstance(answer := await child.receive(), Checked):
                        return answer.problems
                    raise Unavailable(f"the pipeline could not be checked: {await child.obituary()}")
                raise Unavailable(f"the pipeline could not be checked within {CHECK_WITHIN_S:.0f} s")
        except (ChildLost, GarbledFrame) as lost:
            raise Unavailable(f"the pipeline could not be checked: {lost}") from lost
        finally:
            shutil.rmtree(order.work_dir, ignore_errors=True)

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(
            working=len(self._working),
            spares=len(self._spares),
            rss_bytes=sum(child.rss_bytes() for child in [*self._working, *self._spares]),
            spawned=self._spawned,
            killed=self._killed,
        )

    async def keep_spares(self) -> None:
        """Have one ready child per slot waiting, for as long as the engine is open."""
        try:
            while True:
                while len(self._spares) < self._options.slots:
                    await self._add_spare()
                self._refill = trio.Event()
                await self._refill.wait()
        finally:
            with trio.CancelScope(shield=True):
                for child in self._spares:
                    child.kill()
                    await child.end(grace_s=self._options.stop_grace_s)
                self._spares.clear()

    async def _add_spare(self) -> None:
        child = await self._spawn()
        try:
            await child.wait_ready()
        except ChildLost as lost:
            log.error("child_did_not_start", error=str(lost))
            await child.end(grace_s=0)
            await trio.sleep(1)  # a machine that cannot start one will not start the next any sooner
        except BaseException:
            with trio.CancelScope(shield=True):
                child.kill()
                await child.end(grace_s=0)
            raise
        else:
            child.fresh = False
            self._spares.append(child)

    async def _spawn(self) -> ChildProcess:
        with trio.CancelScope(shield=True):  # a process that was started must not be forgotten half-way
            child = await spawn(self._records, self._options.child_module)
        self._spawned += 1
        self._nursery.start_soon(child.drain_errors)
        return child

    @asynccontextmanager
    async def _child(self) -> AsyncIterator[ChildProcess]:
        """A ready child for one order; none is left when the block is over."""
        child = await self._take()
        self._working.add(child)
        try:
            if child.fresh:
                await child.wait_ready()
            yield child
        finally:
            self._working.discard(child)
            with trio.CancelScope(shield=True):
                await child.end(grace_s=self._options.stop_grace_s)

    async def _take(self) -> ChildProcess:
        while self._spares:
            child = self._spares.pop(0)
            self._refill.set()
            if child.alive:
                return child
            await child.end(grace_s=0)
        return await self._spawn()

    def _order(self, work: Work, limit: int) -> LoadOrder:
        work_dir = self._work / f"{work.run_id}.{work.attempt}.{boottime_s():.6f}"
        work_dir.mkdir()
        return LoadOrder(
            run_id=work.run_id,
            attempt=work.attempt,
            job_id=work.job_id,
            job_name=work.job_name,
            plan=work.plan,
            params=work.params,
            interval=work.interval,
            bounds=work.bounds,
            base_dir=work.base_dir or ".",
            work_dir=str(work_dir),
            rejects_dir=str(self._rejects),
            memory_limit_bytes=limit,
        )


class _Attempt:
    """One attempt in the hands of one child."""

    def __init__(self, child: ChildProcess, lease: Lease, reports: Reports, limit_bytes: int) -> None:
        self._child = child
        self._lease = lease
        self._reports = reports
        self._limit_bytes = limit_bytes
        self._ended_by: Result | None = None

    async def carry(self, order: Load) -> Result:
        await self._child.send(order)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._extend)
            nursery.start_soon(self._watch_lease)
            nursery.start_soon(self._watch_memory)
            result = await self._listen()
            nursery.cancel_scope.cancel()
        return result

    async def _listen(self) -> Result:
        """Hear the child out. What was decided here about its end counts more than how the child ended."""
        try:
            while (frame := await self._child.receive()) is not None:
                match frame:
                    case Reported(progress):
                        self._reports.progress(progress)
                    case Freeze(bounds):
                        await self._reports.freeze(bounds)
                        await self._child.send(Stored())
                    case Done(figures):
                        self._child.rss_bytes()
                        return Succeeded(replace(figures, memory_peak_bytes=self._child.rss_peak_bytes))
                    case Broken(error):
                        return Failed(error)
                    case Ended(reason):
                        return self._ended_by or Returned(reason)
                    case _:
                        raise GarbledFrame(f"{type(frame).__name__} was not expected")
        except GarbledFrame as error:
            self._child.kill()
            return Failed(RunError("engine_lost", f"the child cannot be understood: {error}", retryable=True))
        return self._ended_by or Failed(RunError("engine_lost", await self._child.obituary(), retryable=True))

    async def _extend(self) -> None:
        """Send each new deadline of the lease on. A child that does not read is found by its own silence elsewhere."""
        while True:
            await self._lease.wait_moved()
            try:
                await self._child.send(Extend(self._lease.deadline))
            except ChildLost:
                return

    async def _watch_lease(self) -> None:
        """The child ends itself at the deadline; this is for one that does not."""
        while (left_s := self._lease.deadline + LEASE_MARGIN_S - boottime_s()) > 0:
            with trio.move_on_after(left_s):
                await self._lease.wait_moved()
        self._ended_by = Returned("the lease ran out")
        self._child.kill()

    async def _watch_memory(self) -> None:
        while True:
            await trio.sleep(MEMORY_LOOK_S)
            if (used := self._child.rss_bytes()) > self._limit_bytes:
                said = f"the load used {used // 2**20} MiB of its {self._limit_bytes // 2**20} MiB and was ended"
                self._ended_by = Failed(RunError("out_of_memory", said, retryable=True))
                self._child.kill()
                return


@asynccontextmanager
async def open_local(options: LocalOptions) -> AsyncIterator[Local]:
    """The local engine; leaving it leaves no process behind."""
    async with trio.open_nursery() as nursery:
        engine = Local(options, nursery)
        engine.prepare()
        nursery.start_soon(engine.keep_spares)
        try:
            yield engine
        finally:
            nursery.cancel_scope.cancel()
