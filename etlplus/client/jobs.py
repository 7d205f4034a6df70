"""
Definitions of jobs, over HTTP.
"""

from __future__ import annotations

import builtins

from etlplus.client.wire import Wire, path_of
from etlplus.errors import Problem
from etlplus.jobs.model import JobDraft
from etlplus.service.views import JobView, Page


class ClientJobs:
    """See ``contract.Jobs``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def create(self, draft: JobDraft) -> JobView:
        return await self._wire.act(JobView, path_of("jobs"), body=draft)

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[JobView]:
        return await self._wire.ask(Page[JobView], "GET", path_of("jobs"), query={"limit": limit, "cursor": cursor})

    async def get(self, job: str) -> JobView:
        return await self._wire.ask(JobView, "GET", path_of("jobs", job))

    async def replace(self, job: str, draft: JobDraft, *, expected_version: int) -> JobView:
        return await self._wire.ask(JobView, "PUT", path_of("jobs", job), body=draft, headers=_known(expected_version))

    async def delete(self, job: str, *, expected_version: int) -> None:
        await self._wire.ask(None, "DELETE", path_of("jobs", job), headers=_known(expected_version))

    async def check(self, draft: JobDraft) -> builtins.list[Problem]:
        return await self._wire.ask(list[Problem], "POST", path_of("jobs", "check"), body=draft)


def _known(version: int) -> dict[str, str]:
    return {"If-Match": f'"{version}"'}
