"""
Routes of the runs facet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Annotated

import msgspec

from etlplus.jobs.views import RunView
from etlplus.service.choosing import UnfinishedRuns
from etlplus.service.contract import Contract
from etlplus.service.views import LogPage, Page, Reject, RunDetail, RunsCancelled, RunsMade, Why
from etlplus.service.wishes import RunOptions, RunWish
from etlplus.web.routes.table import API, PAGE, Request, Route

MANY_TIMES = 8
"""So that 10,000 wishes find room in the body, at some 800 bytes each when an ordinary one may have a mebibyte."""


class StartRuns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 10,000 wishes."""

    runs: Annotated[list[RunWish], msgspec.Meta(min_length=1, max_length=10_000)]


class CancelRuns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which unfinished runs to cancel; at most ``limit`` of them, newest first, from where ``cursor`` says. A dry run counts all
    that are meant.
    """

    which: UnfinishedRuns
    dry_run: bool = False
    limit: int = 1000
    cursor: str | None = None


def _start(service: Contract, request: Request) -> Awaitable[RunView]:
    wish: RunOptions = request.body
    return service.runs.start(
        request.path["job"],
        wish.params,
        run_at=wish.run_at,
        priority=wish.priority,
        interval=wish.interval,
        key=wish.unique_key,
        unique=wish.unique,
    )


def _started(service: Contract, run_ids: Sequence[str]) -> Awaitable[RunView]:
    return service.runs.get(run_ids[0])


async def _started_many(service: Contract, run_ids: Sequence[str]) -> RunsMade:
    return RunsMade(run_ids=[*run_ids], made=0, existing=len(run_ids))


def _cancel_many(service: Contract, request: Request) -> Awaitable[RunsCancelled]:
    body: CancelRuns = request.body
    return service.runs.cancel_many(body.which, dry_run=body.dry_run, limit=body.limit, cursor=body.cursor)


def _log(service: Contract, request: Request) -> Awaitable[LogPage]:
    search, numbers = request.query.get("search"), request.numbers("attempt", "limit")
    return service.runs.log(request.path["run"], search=search, cursor=request.query.get("cursor"), **numbers)


ROUTES: tuple[Route, ...] = (
    Route("POST", f"{API}/jobs/<job>/runs", "runs.start",
          _start, RunView, "Ask for a run, now or later", "runs:start", body=RunOptions, status=202, keyed=True,
          again=_started),
    Route("POST", f"{API}/runs", "runs.start_many",
          lambda s, r: s.runs.start_many(r.body.runs), RunsMade,
          "Ask for up to 10,000 runs, all or none", "runs:start", body=StartRuns, status=202, keyed=True,
          again=_started_many, body_times=MANY_TIMES),
    Route("GET", f"{API}/runs", "runs.list", lambda s, r: s.runs.list(**r.given("job", "queue", "state"), **r.page()),
          Page[RunView], "Runs, newest first", "runs:read", query=(*PAGE, "job", "queue", "state")),
    Route("GET", f"{API}/runs/<run>", "runs.get", lambda s, r: s.runs.get(r.path["run"]), RunView,
          "One run as it stands", "runs:read"),
    Route("GET", f"{API}/runs/<run>/detail", "runs.detail", lambda s, r: s.runs.detail(r.path["run"]), RunDetail,
          "One run with its attempts and transitions", "runs:read"),
    Route("POST", f"{API}/runs/<run>/cancel", "runs.cancel", lambda s, r: s.runs.cancel(r.path["run"]), RunView,
          "Stop a run", "runs:cancel", status=202, keyed=True),
    Route("POST", f"{API}/runs/cancel", "runs.cancel_many", _cancel_many, RunsCancelled,
          "Stop many runs", "runs:cancel", body=CancelRuns, keyed=True),
    Route("GET", f"{API}/runs/<run>/why", "runs.why", lambda s, r: s.runs.why(r.path["run"]), Why,
          "Why a run is not running", "runs:read"),
    Route("GET", f"{API}/runs/<run>/log", "runs.log", _log, LogPage,
          "The log of an attempt", "logs:read", query=(*PAGE, "attempt", "search")),
    Route("GET", f"{API}/runs/<run>/log/tail", "runs.log_tail",
          lambda s, r: s.runs.log_tail(r.path["run"], **r.numbers("attempt", "limit")), LogPage,
          "The last lines of the log of an attempt", "logs:read", query=("attempt", "limit")),
    Route("GET", f"{API}/runs/<run>/rejects", "runs.rejects", lambda s, r: s.runs.rejects(r.path["run"], **r.page()),
          Page[Reject], "The rows that a run refused", "quarantine:read", query=PAGE),
)  # fmt: skip
