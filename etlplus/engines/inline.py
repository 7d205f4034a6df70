"""
An engine without processes: each attempt is a scripted coroutine, under the caller's own clock.

For tests and for the simulation of the whole staff. It keeps the contract's promises on leases and cancellation, and
nothing else: a script is neither killable nor limited in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from etlplus.engines.contract import EngineStatistics, Lease, Reports, Work, boottime_s
from etlplus.errors import Problem
from etlplus.jobs.outcome import Failed, Result, Returned, RunError

Script = Callable[[Work, Reports], Awaitable[Result]]
Checker = Callable[[dict[str, Any], dict[str, Any]], tuple[Problem, ...]]


class Inline:
    """Executes ``script`` for every attempt and answers checks with ``checker`` (by default: nothing is wrong).

    Args:
        script: What a load does. An exception that it raises is a failure that may be retried.
        clock: The clock of the leases; pass the virtual one where time is virtual.
    """

    def __init__(
        self, script: Script, *, clock: Callable[[], float] = boottime_s, checker: Checker | None = None
    ) -> None:
        self._script = script
        self._clock = clock
        self._checker = checker
        self._executing = 0

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        result: Result = Returned("the lease ran out")
        self._executing += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_end_with_lease, lease, self._clock, nursery.cancel_scope)
                result = await self._play(work, reports)
                nursery.cancel_scope.cancel()
        finally:
            self._executing -= 1
        return result

    async def _play(self, work: Work, reports: Reports) -> Result:
        try:
            return await self._script(work, reports)
        except Exception as error:  # noqa: BLE001  # whatever a load raises is its result
            return Failed(RunError("internal", f"{type(error).__name__}: {error}", retryable=True))

    async def check(self, plan: dict[str, Any], params: dict[str, Any], base_dir: str) -> tuple[Problem, ...]:
        await trio.lowlevel.checkpoint()
        return self._checker(plan, params) if self._checker else ()

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(children=self._executing)


async def _end_with_lease(lease: Lease, clock: Callable[[], float], scope: trio.CancelScope) -> None:
    await lease.wait_expired(clock)
    scope.cancel()
