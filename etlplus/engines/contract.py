"""
What an engine promises: to carry one attempt of a run to exactly one result, under a lease that may move.

The runners call engines, the daemon opens one. Nothing here touches a row of data, and nothing here may import what does:
the daemon stays small because loads live in processes of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import trio

from etlplus.errors import Problem
from etlplus.jobs.outcome import Progress, Result

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime_s() -> float:
    """Seconds since the machine started, time in suspension included where the system can tell.

    A lease is measured on this clock, since a machine that slept past its lease has lost it. All processes of a machine
    read the same value.
    """
    return time.clock_gettime(_BOOT_CLOCK)


class Lease:
    """The right to work on, as a moving deadline in seconds of the boot-time clock.

    One lease belongs to a worker and is shared by all its attempts; each answered heartbeat moves it on.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.revoked = False
        self._moved = trio.Event()

    def move(self, deadline: float) -> None:
        """Set a new deadline and wake all who watch it. A revoked lease stays revoked."""
        if not self.revoked:
            self._set(deadline)

    def revoke(self) -> None:
        """End the right at once and for good."""
        self.revoked = True
        self._set(float("-inf"))

    def _set(self, deadline: float) -> None:
        self.deadline = deadline
        self._moved.set()
        self._moved = trio.Event()

    async def wait_moved(self) -> None:
        """Wait for the next move (or the revocation). A watcher reads ``deadline`` right before it waits again."""
        await self._moved.wait()

    async def wait_expired(self, clock: Callable[[], float] = boottime_s) -> None:
        """Wait until the deadline, wherever it moves meanwhile, has passed by ``clock``."""
        while (left_s := self.deadline - clock()) > 0:
            with trio.move_on_after(left_s):
                await self.wait_moved()


class Work(msgspec.Struct, frozen=True):
    """One attempt to execute: the job's plan, and what this run binds it to.

    ``bounds`` are the source bounds that an earlier attempt froze. Relative paths of the plan start at ``base_dir``.
    """

    run_id: str
    attempt: int
    job_id: str
    job_name: str
    plan: dict[str, Any]
    params: dict[str, Any]
    interval: tuple[str, str] | None
    bounds: dict[str, Any] | None
    memory_limit_bytes: int
    base_dir: str = "."


class EngineStatistics(msgspec.Struct, frozen=True):
    """An engine at a glance: processes now, processes since it was opened, memory now and promised.

    ``rss_bytes`` is what all children together hold resident; ``admitted_bytes`` the limits of the admitted loads, never
    above ``budget_bytes`` (0: no budget); ``waiting`` the loads that wait for memory to be promised to them.
    """

    children: int = 0
    spares: int = 0
    rss_bytes: int = 0
    spawned: int = 0
    killed: int = 0
    lost: int = 0
    spawn_failures: int = 0
    waiting: int = 0
    admitted_bytes: int = 0
    budget_bytes: int = 0


class Reports(Protocol):
    """Whom an engine tells about an attempt while it works on it."""

    def progress(self, progress: Progress) -> None:
        """Hear how far the attempt is. Must not block and must not raise."""
        ...

    async def freeze(self, bounds: dict[str, Any]) -> None:
        """Store the source bounds of the run; return once they are durable."""
        ...


class Engine(Protocol):
    """Where attempts execute."""

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        """Carry one attempt to its end.

        Returns:
            How it ended. Whatever the load did, the result says it; nothing is raised for it. An attempt whose lease ran
            out ends as ``Returned``.

        Cancellation:
            The load is asked to stop, then made to; it is over when Cancelled comes out. If it turns out to have
            committed before it could be stopped, its result is returned instead: nobody may be told otherwise.
        """
        ...

    async def check(self, plan: dict[str, Any], params: dict[str, Any], base_dir: str) -> tuple[Problem, ...]:
        """Say what would keep ``plan`` from running, without running it; empty means nothing was found.

        Raises:
            Unavailable: The check itself could not be carried out now.
        """
        ...

    def statistics(self) -> EngineStatistics:
        """Processes and memory, now and since the engine was opened."""
        ...
