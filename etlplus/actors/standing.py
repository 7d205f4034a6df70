"""
A worker's standing: who this process is to the store, until when it may work, and which slots it has.

These records outlive the actors that use them: a runner that crashes finds its attempt in its slot, a completer that
crashes finds its outcomes in the outbox.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import trio

from etlplus.actors.carriage import Carriage, Fence
from etlplus.actors.claiming import Claiming
from etlplus.actors.clock import SharedClock
from etlplus.actors.outbox import Outbox
from etlplus.engines.contract import Lease
from etlplus.jobs.model import Worker


class Unwritten(Protocol):
    """An attempt with lines that the store has not got."""

    async def write(self) -> None: ...


@dataclass(slots=True)
class Slot:
    """Room for one attempt that needs a process."""

    number: int
    carriage: Carriage | None = None

    @property
    def free(self) -> bool:
        return self.carriage is None


@dataclass(slots=True)
class Standing:
    """This process as a worker.

    ``lease`` belongs to the present ``worker``; a worker that was found dead by others gets a new id and a new lease, and
    attempts that were carried under the old one end as returned. ``hurry`` is set when the stop shall not wait for attempts.
    ``aboard`` are the calls of functions in hand, and ``boarding`` those that were claimed and not begun; ``calls_max`` bounds
    them together. ``deaf`` are those aboard that were told to end and go on. ``full`` says of which kind of runs, those that
    call functions or the others, more may be waiting than there is room for: who makes room wakes the dispatcher. ``unwritten``
    are the attempts with lines that the store has not got. ``clock`` is what stands behind ``now`` and is set right by each
    beat.
    """

    worker: Worker
    lease: Lease
    slots: list[Slot]
    now: Callable[[], datetime]
    boottime_s: Callable[[], float]
    new_worker: Callable[[], Worker]
    clock: SharedClock
    calls_max: int = 0
    claiming: Claiming = field(default_factory=Claiming)
    boarding: deque[Carriage] = field(default_factory=lambda: deque[Carriage]())
    aboard: dict[Fence, Carriage] = field(default_factory=lambda: dict[Fence, Carriage]())
    unwritten: dict[Fence, Unwritten] = field(default_factory=lambda: dict[Fence, Unwritten]())
    deaf: set[Fence] = field(default_factory=lambda: set[Fence]())
    outbox: Outbox = field(default_factory=Outbox)
    full: set[bool] = field(default_factory=lambda: set[bool]())
    stale_results: int = 0
    hurry: trio.Event = field(default_factory=trio.Event)

    @property
    def busy(self) -> int:
        """Slots in use."""
        return sum(not slot.free for slot in self.slots)

    def free_slots(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.free]

    @property
    def calls_free(self) -> int:
        """How many more calls of functions there is room for."""
        return self.calls_max - len(self.aboard) - len(self.boarding)

    def carried(self) -> Iterator[Carriage]:
        """Every attempt in hand."""
        yield from (slot.carriage for slot in self.slots if slot.carriage is not None)
        yield from self.boarding
        yield from self.aboard.values()

    @staticmethod
    async def first_of(*waits: Callable[[], Awaitable[None]]) -> None:
        """Wait until the first of several things has happened."""
        async with trio.open_nursery() as nursery:

            async def end_with(wait: Callable[[], Awaitable[None]]) -> None:
                await wait()
                nursery.cancel_scope.cancel()

            for wait in waits:
                nursery.start_soon(end_with, wait)

    def renew(self) -> None:
        """Become a new worker, since the old one was declared dead: whatever is carried under the old lease must end."""
        self.lease.revoke()
        self.worker = self.new_worker()
        self.lease = Lease(float("-inf"), self.boottime_s)
