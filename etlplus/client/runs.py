"""
Executions of jobs, over HTTP, and over the live monitoring for who wants to follow them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

from etlplus.actors.news import News
from etlplus.client.following import follow
from etlplus.client.wire import Wire, path_of
from etlplus.jobs.model import Uniqueness
from etlplus.jobs.views import RunView
from etlplus.service.choosing import UnfinishedRuns
from etlplus.service.views import LogPage, Page, Reject, RunDetail, RunsCancelled, RunsMade, Why
from etlplus.service.wishes import RunOptions, RunWish


class ClientRuns:
    """See ``contract.Runs``; ``follow`` is what a program wants of ``contract.Events``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

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
        wish = RunOptions(
            params=params or {}, run_at=run_at, priority=priority, interval=interval, unique_key=key,
            unique=unique or Uniqueness(),
        )  # fmt: skip
        path = path_of("jobs", job, "runs")
        return await self._wire.act(RunView, path, body=wish, key=idempotency_key)

    async def start_many(self, wishes: Sequence[RunWish], *, idempotency_key: str | None = None) -> RunsMade:
        return await self._wire.act(RunsMade, path_of("runs"), body={"runs": wishes}, key=idempotency_key)

    async def list(
        self,
        *,
        job: str | None = None,
        queue: str | None = None,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunView]:
        query = {"job": job, "queue": queue, "state": state, "limit": limit, "cursor": cursor}
        return await self._wire.ask(Page[RunView], "GET", path_of("runs"), query=query)

    async def get(self, run: str) -> RunView:
        return await self._wire.ask(RunView, "GET", path_of("runs", run))

    async def detail(self, run: str) -> RunDetail:
        return await self._wire.ask(RunDetail, "GET", path_of("runs", run, "detail"))

    async def why(self, run: str) -> Why:
        return await self._wire.ask(Why, "GET", path_of("runs", run, "why"))

    async def cancel(self, run: str) -> RunView:
        return await self._wire.act(RunView, path_of("runs", run, "cancel"))

    async def cancel_many(
        self, which: UnfinishedRuns, *, dry_run: bool = False, limit: int = 1000, cursor: str | None = None
    ) -> RunsCancelled:
        body = {"which": which, "dry_run": dry_run, "limit": limit, "cursor": cursor}
        return await self._wire.act(RunsCancelled, path_of("runs", "cancel"), body=body)

    async def log(
        self,
        run: str,
        *,
        attempt: int | None = None,
        search: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> LogPage:
        query = {"attempt": attempt, "search": search, "limit": limit, "cursor": cursor}
        return await self._wire.ask(LogPage, "GET", path_of("runs", run, "log"), query=query)

    async def log_tail(self, run: str, *, attempt: int | None = None, limit: int = 100) -> LogPage:
        query = {"attempt": attempt, "limit": limit}
        return await self._wire.ask(LogPage, "GET", path_of("runs", run, "log", "tail"), query=query)

    async def rejects(self, run: str, *, limit: int = 50, cursor: str | None = None) -> Page[Reject]:
        query = {"limit": limit, "cursor": cursor}
        return await self._wire.ask(Page[Reject], "GET", path_of("runs", run, "rejects"), query=query)

    def follow(self, run: str | None = None, *, log: bool = False) -> AsyncGenerator[News]:
        """The news of one run, from how it stands now to its end, or of all runs without an end; a lost connection is made
        again. With ``log``, also what the attempts of that one run write from now on; a snapshot among the news says that some
        lines may not have been told, and are to be read.

        Wrap it in ``contextlib.aclosing`` when you may leave the loop early.

        Raises:
            Unavailable: the daemon stays away.
            NotFound: there is no such run.
        """
        if run is None:
            return follow(self._wire, "runs")
        return follow(self._wire, f"run:{run}", *([f"log:{run}"] if log else []))
