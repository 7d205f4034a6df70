"""
Every route there is, as one table. Rules, decoding, permissions, the API document and the tests are made from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from etlplus.errors import Invalid, Problem
from etlplus.jobs.model import JobDraft
from etlplus.jobs.views import RunView
from etlplus.service.contract import Contract
from etlplus.service.permissions import Permission
from etlplus.service.views import Grant, HealthView, JobView, Page, Reject, RunDetail, StatusView, UserView


class Bootstrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one-time token, and who the first admin shall be."""

    token: str
    name: str
    password: str


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name and its password."""

    name: str
    password: str


class StartRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of a run."""

    params: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Request:
    """What a route gets: the parts of the path, the query, the decoded body, and the headers that matter."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    key: str | None = None
    version: int | None = None

    def page(self) -> dict[str, Any]:
        """The arguments of a page."""
        found: dict[str, Any] = {"cursor": self.query.get("cursor")}
        if (limit := self.query.get("limit")) is not None:
            if not (limit.isascii() and limit.isdecimal()):
                raise Invalid(
                    "the query is not accepted", [Problem(f"limit is {limit!r}", "/limit", suggestion="a whole number")]
                )
            found["limit"] = int(limit[:9])  # far more than any page, and no number that takes long to read
        return found


Call = Callable[[Contract, Request], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """
    One route.

    Args:
        call: What it calls; ``name`` is that method as ``facet.method``.
        permission: What the caller must hold, or None for an open route.
        signed_in: Whether a token is needed at all.
        versioned: Whether ``If-Match`` must name the version that the caller knows.
        query: The accepted query parameters.
    """

    method: str
    path: str
    name: str
    call: Call
    answer: Any
    summary: str
    permission: Permission | None = None
    signed_in: bool = True
    body: type[Any] | None = None
    status: int = 200
    versioned: bool = False
    query: tuple[str, ...] = ()
    etag: bool = False
    tags: tuple[str, ...] = field(default=())


PAGE = ("limit", "cursor")
API = "/api/v1"


async def _metrics(service: Contract, request: Request) -> bytes:
    return service.system.metrics()


ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/health", "system.health", lambda s, r: s.system.health(), HealthView,
          "Whether the service works", signed_in=False),
    Route("GET", "/api/monitor/status", "system.status", lambda s, r: s.system.status(), StatusView,
          "What runs, waits and works", "system:read"),
    Route("GET", "/metrics", "system.metrics", _metrics, bytes, "All metrics in the Prometheus text format", "metrics:read"),
    Route("POST", f"{API}/auth/bootstrap", "identity.bootstrap",
          lambda s, r: s.identity.bootstrap(r.body.token, r.body.name, r.body.password), UserView,
          "Make the first admin with the one-time token", signed_in=False, body=Bootstrap, status=201),
    Route("POST", f"{API}/auth/token", "identity.sign_in", lambda s, r: s.identity.sign_in(r.body.name, r.body.password),
          Grant, "Trade a name and a password for a bearer token", signed_in=False, body=SignIn),
    Route("POST", f"{API}/auth/logout", "identity.sign_out", lambda s, r: s.identity.sign_out(), None,
          "Make every token of this user stop counting", status=204),
    Route("GET", f"{API}/auth/me", "identity.me", lambda s, r: s.identity.me(), UserView, "Who is asking"),
    Route("GET", f"{API}/jobs", "jobs.list", lambda s, r: s.jobs.list(**r.page()), Page[JobView],
          "Jobs by name", "jobs:read", query=PAGE),
    Route("POST", f"{API}/jobs", "jobs.create", lambda s, r: s.jobs.create(r.body), JobView,
          "Store a new job", "jobs:write", body=JobDraft, status=201, etag=True),
    Route("POST", f"{API}/jobs/check", "jobs.check", lambda s, r: s.jobs.check(r.body), list[Problem],
          "Everything that is wrong with a definition", "jobs:read", body=JobDraft),
    Route("GET", f"{API}/jobs/<job>", "jobs.get", lambda s, r: s.jobs.get(r.path["job"]), JobView,
          "One job, by id or by name", "jobs:read", etag=True),
    Route("PUT", f"{API}/jobs/<job>", "jobs.replace",
          lambda s, r: s.jobs.replace(r.path["job"], r.body, expected_version=r.version or 0), JobView,
          "Change a definition", "jobs:write", body=JobDraft, versioned=True, etag=True),
    Route("DELETE", f"{API}/jobs/<job>", "jobs.delete",
          lambda s, r: s.jobs.delete(r.path["job"], expected_version=r.version or 0), None,
          "Forget a job; its finished runs stay", "jobs:write", status=204, versioned=True),
    Route("POST", f"{API}/jobs/<job>/runs", "runs.start",
          lambda s, r: s.runs.start(r.path["job"], r.body.params, key=r.key), RunView,
          "Ask for a run now; an Idempotency-Key makes asking again harmless", "runs:start", body=StartRun, status=202),
    Route("GET", f"{API}/runs", "runs.list",
          lambda s, r: s.runs.list(job=r.query.get("job"), state=r.query.get("state"), **r.page()), Page[RunView],
          "Runs, newest first", "runs:read", query=(*PAGE, "job", "state")),
    Route("GET", f"{API}/runs/<run>", "runs.get", lambda s, r: s.runs.get(r.path["run"]), RunView,
          "One run as it stands", "runs:read"),
    Route("GET", f"{API}/runs/<run>/detail", "runs.detail", lambda s, r: s.runs.detail(r.path["run"]), RunDetail,
          "One run with its attempts and transitions", "runs:read"),
    Route("POST", f"{API}/runs/<run>/cancel", "runs.cancel", lambda s, r: s.runs.cancel(r.path["run"]), RunView,
          "Stop a run", "runs:cancel", status=202),
    Route("GET", f"{API}/runs/<run>/rejects", "runs.rejects", lambda s, r: s.runs.rejects(r.path["run"], **r.page()),
          Page[Reject], "The rows that a run refused", "quarantine:read", query=PAGE),
)  # fmt: skip
