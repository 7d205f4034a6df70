"""
What people and programs may ask about runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from etlplus.jobs.model import Uniqueness
from etlplus.jobs.views import RunView
from etlplus.service.choosing import UnfinishedRuns
from etlplus.service.views import LogPage, Page, Reject, RunDetail, RunsCancelled, RunsMade, Why
from etlplus.service.wishes import RunWish


class Runs(Protocol):
    """Executions of jobs."""

    async def start(
        self,
        job: str,
        params: dict[str, Any] | None = None,
        *,
        run_at: datetime | None = None,
        priority: int | None = None,
        interval: tuple[datetime, datetime] | None = None,
        key: str | None = None,
        unique: Uniqueness | None = None,
        idempotency_key: str | None = None,
    ) -> RunView:
        """Ask for a run, now or at ``run_at``, with the job's priority unless told, for the data of ``interval``: from its
        first moment on, up to but without the second. (runs:start)

        While ``key`` is some run's, ``unique`` says what becomes of the wish; without it, that run is the answer as long as
        it is unfinished. With ``idempotency_key`` instead, the same principal asking again within a day gets the same run
        whatever became of it, and Invalid (``idempotency_mismatch``) if it asks for something else.
        """
        ...

    async def start_many(self, wishes: Sequence[RunWish], *, idempotency_key: str | None = None) -> RunsMade:
        """Ask for up to 10,000 runs, all or none; the same wishes with the same ``idempotency_key`` again within a day are
        answered with the same runs. (runs:start)
        """
        ...

    async def list(
        self,
        *,
        job: str | None = None,
        queue: str | None = None,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunView]:
        """Runs, newest first. (runs:read)"""
        ...

    async def get(self, run: str) -> RunView:
        """One run as it stands. (runs:read)"""
        ...

    async def detail(self, run: str) -> RunDetail:
        """One run with its attempts and transitions. (runs:read)"""
        ...

    async def why(self, run: str) -> Why:
        """Why a run is not running, by the rules of the claim itself. (runs:read)"""
        ...

    async def cancel(self, run: str) -> RunView:
        """Stop a run: at once when it waits, by its worker when it runs. Conflict when it has finished. (runs:cancel)"""
        ...

    async def cancel_many(
        self, which: UnfinishedRuns, *, dry_run: bool = False, limit: int = 1000, cursor: str | None = None
    ) -> RunsCancelled:
        """Stop many runs, each as ``cancel`` does, at most ``limit`` in one call, the newest first; with the cursor of the
        answer the next call goes on. What has finished meanwhile is passed over, and what is made meanwhile is not reached. A
        dry run counts all that are meant. (runs:cancel)
        """
        ...

    async def log(
        self,
        run: str,
        *,
        attempt: int | None = None,
        search: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> LogPage:
        """The log of an attempt, the latest unless one is named; with ``search``, the lines with this text. (logs:read)"""
        ...

    async def log_tail(self, run: str, *, attempt: int | None = None, limit: int = 100) -> LogPage:
        """The last lines of that log. (logs:read)"""
        ...

    async def rejects(self, run: str, *, limit: int = 50, cursor: str | None = None) -> Page[Reject]:
        """The rows this run refused, with raw bytes and reasons, once the attempt has committed. (quarantine:read)"""
        ...
