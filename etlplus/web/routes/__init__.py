"""
Every route there is, as one table. Rules, decoding, permissions, the API document and the tests are made from it.
"""

from __future__ import annotations

from etlplus.web.routes import identity, jobs, letters, queues, runs, schedules, system
from etlplus.web.routes.table import API, Request, Route

__all__ = ["API", "ROUTES", "Request", "Route"]

ROUTES: tuple[Route, ...] = (
    *system.ROUTES,
    *identity.ROUTES,
    *jobs.ROUTES,
    *runs.ROUTES,
    *letters.ROUTES,
    *queues.ROUTES,
    *schedules.ROUTES,
)
