"""
The jobs facet: definitions of jobs, checked before they are stored.
"""

from __future__ import annotations

import builtins

from etlplus.errors import Invalid, Problem
from etlplus.jobs.model import JobDraft
from etlplus.service.checking import checked, checked_limit
from etlplus.service.facet import Facet
from etlplus.service.views import JobView, Page, job_view


class JobsFacet(Facet):
    """See ``contract.Jobs``."""

    async def create(self, draft: JobDraft) -> JobView:
        self.who.must("jobs:write")
        draft = checked(draft, JobDraft)
        await self._refuse_problems(draft)
        saved = await self.house.store.save_job(draft, now=self.house.now())
        self.announce_schedule(saved)
        return job_view(saved)

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[JobView]:
        self.who.must("jobs:read")
        found = await self.house.store.jobs(limit=checked_limit(limit) + 1, after=cursor)
        more = len(found) > limit
        return Page([job_view(job) for job in found[:limit]], found[limit - 1].name if more else None)

    async def get(self, job: str) -> JobView:
        self.who.must("jobs:read")
        return job_view(await self.find_job(job))

    async def replace(self, job: str, draft: JobDraft, *, expected_version: int) -> JobView:
        self.who.must("jobs:write")
        draft = checked(draft, JobDraft)
        found = await self.find_job(job)
        await self._refuse_problems(draft)
        saved = await self.house.store.save_job(
            draft, now=self.house.now(), job_id=found.id, expected_version=expected_version, tell=self.announce
        )
        self.announce_schedule(found, saved)
        return job_view(saved)

    async def delete(self, job: str, *, expected_version: int) -> None:
        self.who.must("jobs:write")
        found = await self.find_job(job)
        await self.house.store.delete_job(found.id, now=self.house.now(), expected_version=expected_version)
        self.announce_schedule(found)

    async def check(self, draft: JobDraft) -> builtins.list[Problem]:
        self.who.must("jobs:read")
        return [*await self.house.workshop.check(checked(draft, JobDraft))]

    async def _refuse_problems(self, draft: JobDraft) -> None:
        """Only a definition that could run is stored, a schedule only if its runs could be made, and a rule only if it could be
        followed. What depends on the values of a run's parameters is found by the run.
        """
        problems = await self.house.workshop.check(draft)
        if any(problem.pointer.startswith("/pipeline") for problem in problems):
            raise Invalid("the pipeline cannot run", problems, code="invalid_pipeline")
        if problems:
            of_schedule = problems[0].pointer.startswith("/schedule")
            title = "the runs of the schedule could not be made" if of_schedule else "the retries name no such error"
            raise Invalid(title, problems, code=problems[0].code)
