"""
One attempt in the hands of one child: sends the order and each new deadline, hears the child out, and ends it when it uses
too much memory or works on past the lease.
"""

from __future__ import annotations

import trio

from etlplus.engines.clock import boottime_s
from etlplus.engines.contract import Lease, Reports
from etlplus.engines.frames import Broken, Cancel, Done, Ended, Extend, Freeze, Load, Reported, Stored
from etlplus.engines.order import LoadOrder
from etlplus.engines.process import ChildLost, ChildProcess
from etlplus.jobs.outcome import Failed, Result, Returned, RunError, Succeeded

MEMORY_LOOK_S = 0.25
LEASE_MARGIN_S = 0.5
"""The child ends itself at the deadline and rolls back; one that has not ended by then is killed."""
LEASE_OVER = Returned("the lease ran out")


class Attempt:
    """See the module. ``carry`` is called once."""

    def __init__(self, child: ChildProcess, lease: Lease, reports: Reports, limit_bytes: int, grace_s: float) -> None:
        self._child = child
        self._lease = lease
        self._reports = reports
        self._limit_bytes = limit_bytes
        self._grace_s = grace_s
        self._told_deadline = lease.deadline
        self._hearing = trio.CancelScope()
        self._ended_by: Result | None = None

    async def carry(self, order: LoadOrder) -> Result:
        """The attempt's result; what was decided here about its end counts more than how the child ended.

        Raises:
            ChildLost: the child ended without an answer.
            Exception: whatever the reports raised.
        """
        await self._child.send(Load(order, self._told_deadline))
        result: Result | None = None
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            for duty in (self._extend, self._watch_lease, self._watch_memory):
                nursery.start_soon(duty)
            try:
                with self._hearing:
                    result = await self._hear()
            except trio.Cancelled:
                nursery.cancel_scope.shield = True  # else the nursery would pass the cancellation on over a result
                if not isinstance(result := await self._hear_out(), Succeeded):
                    nursery.cancel_scope.shield = False
                    raise
                self._ended_by = None  # it committed, whatever was decided meanwhile
            except Exception as error:  # noqa: BLE001 - raised again below, bare instead of in the nursery's group
                failure = error
            nursery.cancel_scope.cancel()
        if self._ended_by is not None:
            return self._ended_by
        if failure is not None:
            raise failure
        assert result is not None
        return result

    async def _hear(self) -> Result:
        while True:
            match await self._child.receive():
                case Reported(progress):
                    self._reports.progress(progress)
                case Freeze(bounds):
                    await self._reports.freeze(bounds)
                    await self._child.send(Stored())
                case Done(figures):
                    return Succeeded(figures)
                case Broken(error):
                    return Failed(error)
                case Ended(reason):
                    return Returned(reason)
                case None if boottime_s() >= self._lease.deadline:
                    return LEASE_OVER
                case None:
                    raise ChildLost(await self._child.obituary())
                case frame:
                    raise ChildLost(f"the child cannot be understood: {type(frame).__name__} was not expected")

    async def _hear_out(self) -> Result | None:
        """After the cancellation: the load may have committed before it could be stopped. None when it did not say."""
        with trio.move_on_after(self._grace_s, shield=True):
            try:
                await self._child.send(Cancel())
                return await self._hear()
            except ChildLost:
                return None
        self._child.kill()
        return None

    async def _extend(self) -> None:
        """Send each new deadline on. A child that does not read any more is found by those who wait for it."""
        while True:
            if self._told_deadline == self._lease.deadline:
                await self._lease.wait_moved()
                continue
            self._told_deadline = self._lease.deadline
            try:
                await self._child.send(Extend(self._told_deadline))
            except ChildLost:
                return

    async def _watch_lease(self) -> None:
        await self._lease.wait_over()
        await trio.sleep(LEASE_MARGIN_S)
        self._end(LEASE_OVER)

    async def _watch_memory(self) -> None:
        while True:
            if (used := self._child.rss_bytes()) > self._limit_bytes:
                said = f"the load used {used // 2**20} MiB of its {self._limit_bytes // 2**20} MiB and was ended"
                return self._end(Failed(RunError("out_of_memory", said, retryable=True)))
            await trio.sleep(MEMORY_LOOK_S)

    def _end(self, result: Result) -> None:
        """The child is killed, and whoever still waits on its behalf is let go."""
        self._ended_by = result
        self._child.kill()
        self._hearing.cancel()
