"""
The local engine: each attempt in a child process of this machine.

Attempts are admitted while the sum of their memory limits stays within the budget. Rows never enter this process: it sends
the plan and hears progress, counts and the outcome. Memory is watched where the system has /proc.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import structlog
import trio

from etlplus.engines.admission import Admission
from etlplus.engines.attempt import LEASE_OVER, Attempt
from etlplus.engines.children import Children
from etlplus.engines.contract import EngineStatistics, Lease, Reports, Work
from etlplus.engines.frames import Check, Checked, FrameTooLarge
from etlplus.engines.order import LoadOrder
from etlplus.engines.process import ChildLost
from etlplus.engines.survivors import kill_survivors
from etlplus.errors import Problem, Unavailable
from etlplus.jobs.outcome import Failed, Result, Returned, RunError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How the local engine works.

    ``memory_limit_bytes`` holds for attempts that name none; ``memory_budget_bytes`` bounds the sum over all attempts.
    ``spares`` is the number of ready children that wait, by default one per slot. ``stop_grace_s`` is what a child gets to
    roll back before it is ended by signals; ``ready_within_s`` to load its libraries; ``check_within_s`` to check a plan.
    """

    data_dir: Path
    slots: int
    spares: int | None = None
    memory_limit_bytes: int = 1024**3
    memory_budget_bytes: int = 16 * 1024**3
    stop_grace_s: float = 3.0
    ready_within_s: float = 60.0
    check_within_s: float = 60.0
    child_command: tuple[str, ...] = (sys.executable, "-m", "etlplus.engines.child")


class Local:
    """See the module. Made by ``open_local``."""

    def __init__(self, options: LocalOptions, children: Children) -> None:
        self._options = options
        self._children = children
        self._admission = Admission(options.memory_budget_bytes)
        self._checking = trio.CapacityLimiter(max(1, options.slots))
        self._orders = count(1)

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        limit_bytes = work.memory_limit_bytes or self._options.memory_limit_bytes
        try:
            async with self._admission.admit(limit_bytes, lease) as admitted:
                if not admitted:
                    return LEASE_OVER
                async with self._ordered(work, limit_bytes) as order, self._children.one() as child:
                    return await Attempt(child, lease, reports, limit_bytes, self._options.stop_grace_s).carry(order)
        except ChildLost as lost:
            if self._children.closed:
                return Returned("the engine is closed")
            return Failed(RunError("engine_lost", str(lost), retryable=True))
        except FrameTooLarge as large:
            return Failed(RunError("invalid_plan", f"the attempt cannot be sent to its child: {large}"))

    async def check(self, plan: dict[str, Any], params: dict[str, Any], base_dir: str) -> tuple[Problem, ...]:
        """See the contract.

        Raises:
            Unavailable: no child could say.
        """
        work = Work(
            run_id="check", attempt=0, job_id="check", job_name="check", plan=plan, params=params, base_dir=base_dir
        )
        try:
            async with (
                self._checking,
                self._ordered(work, self._options.memory_limit_bytes) as order,
                self._children.one() as child,
            ):
                await child.send(Check(order))
                with trio.move_on_after(self._options.check_within_s):
                    if isinstance(answer := await child.receive(), Checked):
                        return answer.problems
                    raise ChildLost(await child.obituary())
                child.kill()
                raise ChildLost(f"it took longer than {self._options.check_within_s:g} s")
        except FrameTooLarge as large:
            return (Problem(f"the pipeline cannot be sent to its child: {large}", code="too_large"),)
        except ChildLost as lost:
            raise Unavailable(f"the pipeline could not be checked: {lost}") from lost

    def statistics(self) -> EngineStatistics:
        return self._children.statistics()

    @asynccontextmanager
    async def _ordered(self, work: Work, limit_bytes: int) -> AsyncGenerator[LoadOrder]:
        """The order for a child, with a private folder that is gone when the block is over."""
        work_dir = _folder(self._options, "work") / f"{work.run_id}.{work.attempt}.{next(self._orders)}"
        try:
            work_dir.mkdir()
        except OSError as error:
            raise ChildLost(f"no folder could be made for the attempt: {error}") from error
        try:
            yield LoadOrder(
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
                rejects_dir=str(_folder(self._options, "rejects")),
                memory_limit_bytes=limit_bytes,
            )
        finally:
            await _remove(work_dir)


@asynccontextmanager
async def open_local(options: LocalOptions) -> AsyncGenerator[Local]:
    """The local engine; leaving it leaves no process behind. An attempt still in hand then is returned.

    Raises:
        OSError: the folders of the data directory cannot be made.
    """
    records, rejects, work = (_folder(options, name) for name in ("children", "rejects", "work"))
    records.mkdir(parents=True, exist_ok=True)
    if survivors := await kill_survivors(records):
        log.warning("survivors_killed", pids=survivors)
    await _remove(work)
    for folder in (rejects, work):
        folder.mkdir(exist_ok=True)
    async with trio.open_nursery() as nursery:
        children = Children(
            nursery,
            options.child_command,
            records,
            spares=options.slots if options.spares is None else options.spares,
            ready_within_s=options.ready_within_s,
            grace_s=options.stop_grace_s,
        )
        nursery.start_soon(children.keep_spares)
        try:
            yield Local(options, children)
        finally:
            await children.close()


def _folder(options: LocalOptions, name: str) -> Path:
    return options.data_dir / name


async def _remove(folder: Path) -> None:
    """Remove a folder, in a thread since spilled data may be large; what cannot be removed goes at the next start."""
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
