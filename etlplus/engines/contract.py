"""
What the daemon asks of an engine: carry one attempt under a lease, tell how far it is, and say how it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import trio

from etlplus.engines.clock import boottime_s
from etlplus.errors import Problem
from etlplus.jobs.kinds import Command
from etlplus.jobs.outcome import Progress, Result

LOOK_S = 1.0
"""A suspended machine does not wake a sleeper at the deadline, so the clock is looked at this often."""

__all__ = ["Engine", "EngineStatistics", "Lease", "Reports", "Work", "boottime_s"]


class Lease:
    """The right to work on, as a deadline that each heartbeat moves; shared by all attempts of a worker.

    Args:
        deadline: When it ends, on the clock that ``now_s`` reads; that is ``boottime_s`` but for simulations.
    """

    def __init__(self, deadline: float, now_s: Callable[[], float] = boottime_s) -> None:
        self.deadline = deadline
        self._now_s = now_s
        self._moved = trio.Event()

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline <= self._now_s()

    @property
    def was_held(self) -> bool:
        """Whether it has begun; false also once it is revoked."""
        return self.deadline > float("-inf")

    def move(self, deadline: float) -> None:
        """Set the deadline, and wake everybody who waits for it to move."""
        self.deadline = deadline
        moved, self._moved = self._moved, trio.Event()
        moved.set()

    def revoke(self) -> None:
        """The lease is over now."""
        self.move(float("-inf"))

    async def wait_moved(self) -> None:
        """Wait until the deadline is set anew."""
        await self._moved.wait()

    async def wait_over(self) -> None:
        """Wait until the deadline has passed, wherever it is moved meanwhile."""
        while (left_s := self.deadline - self._now_s()) > 0:
            with trio.move_on_after(min(left_s, LOOK_S)):
                await self.wait_moved()


class Work(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt, complete in itself: the plan of a pipeline, the name of a function, or a command. ``bounds`` are what an
    earlier attempt froze; no memory limit means the default.
    """

    run_id: str
    attempt: int
    job_id: str
    job_name: str
    plan: dict[str, Any] = {}
    function: str | None = None
    command: Command | None = None
    params: dict[str, Any] = {}
    interval: tuple[str, str] | None = None
    bounds: dict[str, Any] | None = None
    memory_limit_bytes: int | None = None
    base_dir: str = ""


class Reports(Protocol):
    """Whom the engine tells."""

    def progress(self, progress: Progress) -> None:
        """The attempt came further. Never waits."""
        ...

    def log(self, text: str, level: str = "info") -> None:
        """Keep a line that the attempt wrote. Never waits."""
        ...

    async def freeze(self, bounds: dict[str, Any]) -> None:
        """Store what the attempt found in its sources; returns when it is stored."""
        ...


class EngineStatistics(msgspec.Struct, frozen=True):
    """What an engine has in hand: children at work, spares, their memory, and how many were ever started and killed."""

    working: int = 0
    spares: int = 0
    rss_bytes: int = 0
    spawned: int = 0
    killed: int = 0


class Engine(Protocol):
    """See the module."""

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        """Carry an attempt to its end.

        Never raises for anything the load did. Cancelling this call ends the attempt in order, leaves no process behind,
        and raises Cancelled, unless the load had committed by then: that is a success, and returned as one.
        Past the deadline of the lease the attempt is ended, and the result is Returned.
        """
        ...

    async def check(self, plan: dict[str, Any], params: dict[str, Any], base_dir: str) -> tuple[Problem, ...]:
        """Everything that is wrong with a plan, as far as can be known without running it."""
        ...

    def statistics(self) -> EngineStatistics: ...
