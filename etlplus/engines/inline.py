"""
An engine without a process: runs a function of the program's own in the caller's task. For tests and simulation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from etlplus.engines.contract import EngineStatistics, Lease, Reports, Work
from etlplus.errors import Problem
from etlplus.jobs.outcome import Result

Execute = Callable[[Work, Lease, Reports], Awaitable[Result]]


class Inline:
    """See the module. The lease is the function's own business."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._working = 0
        self._started = 0

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        self._working += 1
        self._started += 1
        try:
            return await self._execute(work, lease, reports)
        finally:
            self._working -= 1

    async def check(self, plan: dict[str, Any], params: dict[str, Any], base_dir: str) -> tuple[Problem, ...]:
        return ()

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(working=self._working, spawned=self._started)
