"""
The lease half: what workers do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from etlplus.jobs.logs import LogState, NewLine
from etlplus.jobs.model import (
    Run,
    Worker,
)
from etlplus.store.contract.records import (
    Beat,
    HandedOver,
    Hint,
    Outcome,
    Settled,
    Taken,
)


class LeaseStore(Protocol):
    """What workers do. Whoever does not name the present (run, attempt, worker) holds nothing and changes nothing."""

    async def time(self) -> datetime | None:
        """What time it is by the store's own clock, which all who share it can go by; None if it has none."""
        ...

    async def join(self, worker: Worker, *, now: datetime) -> None:
        """Announce a worker; its lease runs until ``worker.expires_at``. Joining again renews the record."""
        ...

    async def beat(self, worker_id: str, *, now: datetime, expires_at: datetime, attends: bool = False) -> Beat:
        """Move the lease of a worker on, and hear what it should cancel. ``attends``: it follows what others publish."""
        ...

    async def claim(self, worker_id: str, *, limit: int, now: datetime, calls: bool = False) -> Taken:
        """Take up to ``limit`` queued runs, best rank first; no run is ever given to two. With ``calls`` these are the runs
        that call a function of the worker's, otherwise all others: the two have room of their own in a worker.

        Passed over are runs of paused queues, runs that ask for labels which the worker lacks, and runs whose limit, queue
        or house has no slot or no token left: of no key are ever more runs in hand than it has slots, nor more begun than its
        rate allows. Of runs with limit keys, only those of a few dozen keys are looked at in one claim, and these keys go to
        the back of the line; one without a token is looked at again when that comes.

        Raises:
            Conflict: the worker has not joined, or its lease is over (code ``lease_lost``).
        """
        ...

    async def freeze(self, run_id: str, attempt: int, bounds: Mapping[str, Any], *, now: datetime) -> bool:
        """Keep what the attempt found in its sources. The first writer wins.

        Returns:
            True if ``bounds`` are now the run's; False if others were kept before, or the attempt holds nothing any
            more.
        """
        ...

    async def append_log(
        self, run_id: str, attempt: int, worker_id: str, lines: Sequence[NewLine], *, now: datetime
    ) -> LogState | None:
        """Append to the log of an attempt in hand, in order; None if that attempt is not held any more, and nothing was
        kept. Lines and logs have their bounds (``etlplus.jobs.logs``); what is above is counted as dropped.
        """
        ...

    async def acknowledge(self, outcomes: Sequence[Outcome], *, now: datetime) -> list[Settled]:
        """Settle ended attempts, answered in order. What matches no held (run, attempt, worker) is a stale result: it
        is counted and changes nothing. One outcome can fail to apply without the others. Who had no answer tells it again: what
        was applied before is answered as applied, with the run as it is now, and changes nothing.
        """
        ...

    async def hand_over(
        self, outcomes: Sequence[Outcome], *, worker_id: str, limit: int, now: datetime, calls: bool = False
    ) -> HandedOver:
        """Acknowledge, and in the same unit claim for the slots that this frees, up to ``limit`` runs: they pass from one run
        to the next without being free in between.

        Only if that wrongs nobody, since no other run waits for them: those that wait are in one lane, without a limit key or a
        rate. A store may hand over less than a claim would take, and a worker without a lease gets nothing; what is free
        afterwards is told as ``freed``. A store may also settle the first of many only, so that their heirs are carried while
        it settles the others: those that are not answered are to be told again.
        """
        ...

    async def rescue(self, *, now: datetime, dead: Sequence[str] = (), limit: int = 500) -> list[Run]:
        """Take the runs of lost workers back: those known to be ``dead``, or if none is named, those whose lease is over at
        ``now``. After an outage every lease looks old, so who knows of some that are dead must not harm the others.

        A run goes back to its queue; if cancelled meanwhile it is cancelled; if it is poison, since it has cost
        ``Run.poison_after`` workers without ending once in order, it is failed as ``worker_lost``, and its error tells of each
        of them. The workers are forgotten: their next beat finds out. A full answer (``limit`` runs) means that there may be
        more.
        """
        ...

    async def leave(self, worker_id: str, *, now: datetime) -> list[Run]:
        """Forget a worker that stops in order; what it still holds goes back to the queue at once, uncounted."""
        ...

    async def tick(
        self, *, now: datetime, limit: int = 500, tell: Callable[[Sequence[str]], None] | None = None
    ) -> list[Run]:
        """Do what is due: scheduled runs become queued, those that have waited too long fail, schedules are decided.

        What each schedule does is what ``etlplus.jobs.schedule.decide`` says: runs that are made or cancelled, lines in the
        tick ledger, and the next time, in one unit. Of any number of nodes ticking at once, one decides about a nominal time.
        At most ``limit`` schedules and waiting runs are looked at; ``queued_hint`` tells whether more is due. A job that cannot
        be read is set aside, and holds up no other. ``tell`` is called with the ids of the jobs whose schedules were decided.
        """
        ...

    async def queued_hint(self) -> Hint:
        """Whether a claim or a tick is worth while, and when the next tick will be."""
        ...
