"""
Routes of the runs facet.
"""

from __future__ import annotations

from typing import Any

import msgspec

from etlplus.jobs.views import RunView
from etlplus.service.views import Page, Reject, RunDetail
from etlplus.web.routes.table import API, PAGE, Route


class StartRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of a run."""

    params: dict[str, Any] = {}


ROUTES: tuple[Route, ...] = (
    Route("POST", f"{API}/jobs/<job>/runs", "runs.start",
          lambda s, r: s.runs.start(r.path["job"], r.body.params, key=r.key), RunView,
          "Ask for a run now", "runs:start", body=StartRun, status=202, keyed=True),
    Route("GET", f"{API}/runs", "runs.list", lambda s, r: s.runs.list(**r.given("job", "state"), **r.page()),
          Page[RunView], "Runs, newest first", "runs:read", query=(*PAGE, "job", "state")),
    Route("GET", f"{API}/runs/<run>", "runs.get", lambda s, r: s.runs.get(r.path["run"]), RunView,
          "One run as it stands", "runs:read"),
    Route("GET", f"{API}/runs/<run>/detail", "runs.detail", lambda s, r: s.runs.detail(r.path["run"]), RunDetail,
          "One run with its attempts and transitions", "runs:read"),
    Route("POST", f"{API}/runs/<run>/cancel", "runs.cancel", lambda s, r: s.runs.cancel(r.path["run"]), RunView,
          "Stop a run", "runs:cancel", status=202),
    Route("GET", f"{API}/runs/<run>/rejects", "runs.rejects", lambda s, r: s.runs.rejects(r.path["run"], **r.page()),
          Page[Reject], "The rows that a run refused", "quarantine:read", query=PAGE),
)  # fmt: skip
