"""
Routes of the schedules facet.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated

import msgspec

from etlplus.jobs.schedules import Schedule
from etlplus.jobs.ticks import Tick
from etlplus.service.contract import Contract
from etlplus.service.views import JobView, Page, Preview
from etlplus.web.routes.table import API, PAGE, Request, Route


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule, how many of its nominal times to show, and after which moment; without one, now."""

    schedule: Schedule
    count: int = 10
    start: Annotated[datetime, msgspec.Meta(tz=True)] | None = msgspec.field(default=None, name="from")


def _preview(service: Contract, request: Request) -> Awaitable[Preview]:
    asked: Asked = request.body
    return service.schedules.preview(asked.schedule, count=asked.count, start=asked.start)


def _upcoming(service: Contract, request: Request) -> Awaitable[Preview]:
    start = request.moments("from").get("from")
    return service.schedules.upcoming(request.path["job"], start=start, **request.numbers("count"))


ROUTES: tuple[Route, ...] = (
    Route("POST", f"{API}/schedules/preview", "schedules.preview", _preview, Preview,
          "The next nominal times of a schedule, each with its reason", "jobs:read", body=Asked),
    Route("GET", f"{API}/jobs/<job>/schedule/preview", "schedules.upcoming", _upcoming, Preview,
          "The next nominal times of a job's schedule", "jobs:read", query=("count", "from")),
    Route("GET", f"{API}/jobs/<job>/schedule/ticks", "schedules.ticks",
          lambda s, r: s.schedules.ticks(r.path["job"], **r.page()), Page[Tick],
          "What was decided about the nominal times of a job, newest first", "jobs:read", query=PAGE),
    Route("POST", f"{API}/jobs/<job>/schedule/pause", "schedules.pause",
          lambda s, r: s.schedules.pause(r.path["job"]), JobView,
          "Make no more scheduled runs of a job; asked for by hand, it runs", "schedules:pause", etag=True, keyed=True),
    Route("POST", f"{API}/jobs/<job>/schedule/resume", "schedules.resume",
          lambda s, r: s.schedules.resume(r.path["job"]), JobView,
          "Make scheduled runs of a job again", "schedules:pause", etag=True, keyed=True),
)  # fmt: skip
