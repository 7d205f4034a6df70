"""
What people and programs may ask about definitions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from etlplus.errors import Problem
from etlplus.jobs.model import JobDraft
from etlplus.jobs.schedules import Schedule
from etlplus.jobs.ticks import Tick
from etlplus.service.views import JobView, Page, Preview


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
        """Change a definition; Stale when somebody else changed it since ``expected_version``. (jobs:write)"""
        ...

    async def delete(self, job: str, *, expected_version: int) -> None:
        """Forget a job; its finished runs stay. Conflict while runs are unfinished, Stale when somebody else changed it since
        ``expected_version``. (jobs:write)
        """
        ...

    async def check(self, draft: JobDraft) -> list[Problem]:
        """Everything that is wrong with a definition; nothing is stored. (jobs:read)"""
        ...


class Schedules(Protocol):
    """When jobs are due."""

    async def preview(self, schedule: Schedule, *, count: int = 10, start: datetime | None = None) -> Preview:
        """The next nominal times of any schedule after ``start`` (now), due or not, each with its reason. (jobs:read)"""
        ...

    async def upcoming(self, job: str, *, count: int = 10, start: datetime | None = None) -> Preview:
        """The same for the schedule of a job; NotFound (``no_schedule``) if it has none. (jobs:read)"""
        ...

    async def ticks(self, job: str, *, limit: int = 50, cursor: str | None = None) -> Page[Tick]:
        """What was decided about the nominal times of a job, newest first: runs made, and why none was. (jobs:read)"""
        ...

    async def pause(self, job: str) -> JobView:
        """Make no more scheduled runs of a job; asked for by hand, it runs. (schedules:pause)"""
        ...

    async def resume(self, job: str) -> JobView:
        """Make scheduled runs again, from now on: what passed meanwhile is not made up for, and a schedule that counts from
        when its job was saved counts anew. (schedules:pause)
        """
        ...
