"""
Routes of the jobs facet.
"""

from __future__ import annotations

from etlplus.errors import Problem
from etlplus.jobs.model import JobDraft
from etlplus.service.views import JobView, Page
from etlplus.web.routes.table import API, PAGE, Route

ROUTES: tuple[Route, ...] = (
    Route("GET", f"{API}/jobs", "jobs.list", lambda s, r: s.jobs.list(**r.page()), Page[JobView],
          "Jobs by name", "jobs:read", query=PAGE),
    Route("POST", f"{API}/jobs", "jobs.create", lambda s, r: s.jobs.create(r.body), JobView,
          "Store a new job", "jobs:write", body=JobDraft, status=201, etag=True, keyed=True),
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
)  # fmt: skip
