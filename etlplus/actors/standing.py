"""
A worker's standing: who this process is to the store, until when it may work, and which slots it has.

These records outlive the actors that use them: a runner that crashes finds its attempt in its slot, a completer that
crashes finds its outcomes in the outbox.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import trio

from etlplus.engines.contract import Lease
from etlplus.jobs.model import Worker
from etlplus.jobs.outcome import Result
from etlplus.store.contract import Claimed, Outcome


@dataclass(slots=True)
class Slot:
    """Room for one attempt. ``result`` is set once the attempt has ended and its outcome is not yet in the outbox."""

    number: int
    claimed: Claimed | None = None
    result: Result | None = None

    @property
    def free(self) -> bool:
        return self.claimed is None


@dataclass(slots=True)
class Standing:
    """This process as a worker.

    ``lease`` belongs to the present ``worker``; a worker that was found dead by others gets a new id and a new lease, and
    attempts that were carried under the old one end as returned. ``hurry`` is set when the stop shall not wait for attempts.
    """

    worker: Worker
    lease: Lease
    slots: list[Slot]
    now: Callable[[], datetime]
    boottime_s: Callable[[], float]
    new_worker: Callable[[], Worker]
    outbox: deque[Outcome] = field(default_factory=lambda: deque[Outcome]())
    stale_results: int = 0
    hurry: trio.Event = field(default_factory=trio.Event)

    @property
    def busy(self) -> int:
        """Slots in use."""
        return sum(not slot.free for slot in self.slots)

    def free_slots(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.free]

    def renew(self) -> None:
        """Become a new worker, since the old one was declared dead: whatever is carried under the old lease must end."""
        self.lease.revoke()
        self.worker = self.new_worker()
        self.lease = Lease(float("-inf"))
