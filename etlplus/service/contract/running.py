"""
What people and programs may ask about runs.
"""

from __future__ import annotations

from typing import Any, Protocol

from etlplus.jobs.views import RunView
from etlplus.service.views import Page, Reject, RunDetail


class Runs(Protocol):
    """Executions of jobs."""

    async def start(self, job: str, params: dict[str, Any] | None = None, *, key: str | None = None) -> RunView:
        """Ask for a run now. With ``key``, asking again gives the same run instead of another. (runs:start)"""
        ...

    async def list(
        self, *, job: str | None = None, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[RunView]:
        """Runs, newest first. (runs:read)"""
        ...

    async def get(self, run: str) -> RunView:
        """One run as it stands. (runs:read)"""
        ...

    async def detail(self, run: str) -> RunDetail:
        """One run with its attempts and transitions. (runs:read)"""
        ...

    async def cancel(self, run: str) -> RunView:
        """Stop a run: at once when it waits, by its worker when it runs. Conflict when it has finished. (runs:cancel)"""
        ...

    async def rejects(self, run: str, *, limit: int = 50, cursor: str | None = None) -> Page[Reject]:
        """The rows this run refused, with raw bytes and reasons, once the attempt has committed. (quarantine:read)"""
        ...
