"""
The read half: what people and programs look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from etlplus.jobs.explaining import Explanation
from etlplus.jobs.letters import DeadLetter, LetterFilter
from etlplus.jobs.logs import LogLine, LogState
from etlplus.jobs.model import Attempt, Job, Run, RunEvent, RunState, Worker
from etlplus.jobs.queues import Limit, QueueCounts
from etlplus.jobs.receipts import Once, Receipt
from etlplus.jobs.ticks import Tick
from etlplus.jobs.users import User
from etlplus.store.contract.records import (
    Counts,
    RunFilter,
    Scheduled,
    Unfinished,
)


class ReadStore(Protocol):
    """What people and programs look at. Asked by id, a missing thing raises NotFound; asked by name, it is None."""

    async def receipt(self, request: Once) -> Receipt | None:
        """What is kept of a request with this key, whether it is the same or not; None if nothing is any more."""
        ...

    async def job(self, job_id: str) -> Job: ...

    async def job_named(self, name: str) -> Job | None: ...

    async def jobs(self, *, limit: int = 100, after: str | None = None) -> list[Job]:
        """A page of jobs by name; ``after`` is the name of the last one seen."""
        ...

    async def run(self, run_id: str) -> Run: ...

    async def runs(self, which: RunFilter | None = None, *, limit: int = 100, after: str | None = None) -> list[Run]:
        """A page of runs, newest first; ``after`` is the id of the last one seen."""
        ...

    async def unfinished(self, which: Unfinished) -> dict[RunState, int]:
        """How many runs are meant, by state; states without any are missing."""
        ...

    async def events(self, run_id: str, *, after_version: int = 0, limit: int = 1000) -> list[RunEvent]:
        """The history of a run in order, from the version after ``after_version`` on; empty for an unknown run."""
        ...

    async def attempts(self, run_id: str) -> list[Attempt]:
        """The attempts of a run in order; empty for an unknown run."""
        ...

    async def log(
        self, run_id: str, attempt: int, *, after: int = 0, search: str | None = None, limit: int = 1000
    ) -> list[LogLine]:
        """The log of an attempt in order, from the line after number ``after`` on; with ``search``, only the lines that
        have this text in them, whatever the case of its letters a to z.
        """
        ...

    async def log_tail(self, run_id: str, attempt: int, *, limit: int = 100) -> list[LogLine]:
        """The last lines of the log of an attempt, in order."""
        ...

    async def log_state(self, run_id: str, attempt: int) -> LogState:
        """How far the log of an attempt is, and how much of it was dropped."""
        ...

    async def explain(self, run_id: str, *, now: datetime) -> Explanation:
        """Why a run is not running: the facts that a claim would find in its way, in order."""
        ...

    async def counts(self) -> Counts: ...

    async def workers(self) -> list[Worker]:
        """Every worker that has joined and neither left nor been found dead."""
        ...

    async def dead_letters(
        self, which: LetterFilter | None = None, *, resolved: bool = False, limit: int = 100, after: str | None = None
    ) -> list[DeadLetter]:
        """A page of runs that failed for good and that nobody replayed or discarded yet, newest run first; or, with
        ``resolved``, of those that somebody did. ``after`` is the id of the last run seen.
        """
        ...

    async def ticks(self, job_id: str, *, limit: int = 100, after: tuple[datetime, str] | None = None) -> list[Tick]:
        """A page of the tick ledger of a job, newest nominal time first; empty for an unknown job. ``after`` are the
        ``nominal_at`` and the ``outcome`` of the last line seen.
        """
        ...

    async def scheduled(self, job_ids: Sequence[str] | None = None, *, limit: int = 200) -> list[Scheduled]:
        """Jobs that have a schedule, or one that cannot be used: those of these ids; or if none are given, those due next,
        in order, and then those that are not due, by name. Each comes with the last few lines of its ledger.
        """
        ...

    async def queues(self) -> list[QueueCounts]:
        """Every queue by name, with how much waits in it."""
        ...

    async def limits(self) -> list[Limit]:
        """Every limit by name."""
        ...

    async def user(self, user_id: str) -> User: ...

    async def user_named(self, name: str) -> User | None: ...

    async def has_users(self) -> bool: ...
