"""
What people and programs may ask about definitions.
"""

from __future__ import annotations

from typing import Protocol

from etlplus.errors import Problem
from etlplus.jobs.model import JobDraft
from etlplus.service.views import JobView, Page


class Jobs(Protocol):
    """Definitions of jobs."""

    async def create(self, draft: JobDraft) -> JobView:
        """Store a new job; the whole definition is checked first. (jobs:write)"""
        ...

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[JobView]:
        """Jobs by name. (jobs:read)"""
        ...

    async def get(self, job: str) -> JobView:
        """One job, by id or by name. (jobs:read)"""
        ...

    async def replace(self, job: str, draft: JobDraft, *, expected_version: int) -> JobView:
        """Change a definition; Conflict when somebody else changed it since ``expected_version``. (jobs:write)"""
        ...

    async def delete(self, job: str, *, expected_version: int) -> None:
        """Forget a job; its finished runs stay. Conflict while runs are unfinished. (jobs:write)"""
        ...

    async def check(self, draft: JobDraft) -> list[Problem]:
        """Everything that is wrong with a definition; nothing is stored. (jobs:read)"""
        ...
