"""
The schedules facet: when schedules are due, and whether those of jobs make runs.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from etlplus.errors import Conflict, Invalid, NotFound, Problem, Stale
from etlplus.jobs.model import JobDraft
from etlplus.jobs.occurrences import PREVIEW_MAX, preview
from etlplus.jobs.schedules import Schedule, describe
from etlplus.jobs.ticks import Tick, TickOutcome
from etlplus.service.checking import checked, checked_limit, checked_moment, checked_number
from etlplus.service.facet import Facet
from etlplus.service.views import JobView, Page, Preview, job_view, occurrence_views


class SchedulesFacet(Facet):
    """See ``contract.Schedules``."""

    async def preview(self, schedule: Schedule, *, count: int = 10, start: datetime | None = None) -> Preview:
        self.who.must("jobs:read")
        schedule = checked(schedule, Schedule, "/schedule")
        after = checked_moment(start, "start") or self.house.now()
        found = preview(schedule, after, checked_number(count, "count", PREVIEW_MAX))
        return Preview(describe(schedule), occurrence_views(found))

    async def upcoming(self, job: str, *, count: int = 10, start: datetime | None = None) -> Preview:
        self.who.must("jobs:read")
        number, after = checked_number(count, "count", PREVIEW_MAX), checked_moment(start, "start")
        found = await self.find_job(job)
        if found.schedule is None:
            raise NotFound(f"the job {found.name!r} has no schedule", code="no_schedule")
        times = preview(found.schedule, after or self.house.now(), number, saved_at=found.updated_at)
        return Preview(describe(found.schedule), occurrence_views(times), paused=found.paused)

    async def ticks(self, job: str, *, limit: int = 50, cursor: str | None = None) -> Page[Tick]:
        """The cursor is the nominal time and the outcome of the last line seen, which no two lines of a job share."""
        self.who.must("jobs:read")
        found = await self.find_job(job)
        lines = await self.house.store.ticks(found.id, limit=checked_limit(limit) + 1, after=_line(cursor))
        more = len(lines) > limit
        last = lines[limit - 1] if more else None
        return Page(lines[:limit], f"{last.nominal_at.isoformat()}~{last.outcome}" if last else None)

    async def pause(self, job: str) -> JobView:
        return await self._set(job, paused=True)

    async def resume(self, job: str) -> JobView:
        return await self._set(job, paused=False)

    async def _set(self, job: str, *, paused: bool) -> JobView:
        self.who.must("schedules:pause")
        while True:
            found = await self.find_job(job)
            if found.fault is not None and not paused:
                raise Conflict(f"the job {found.name!r} has to be defined anew: {found.fault}", code="job_fault")
            if found.paused == paused:
                return job_view(found)
            draft = JobDraft(**{name: getattr(found, name) for name in JobDraft.__struct_fields__})
            changed = msgspec.structs.replace(draft, paused=paused)
            try:
                saved = await self.house.store.save_job(
                    changed, now=self.house.now(), job_id=found.id, expected_version=found.version
                )
            except Stale:
                continue  # somebody changed the job in between, which says nothing about pausing it
            self.announce_schedule(saved)
            return job_view(saved)


def _line(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    at, _, outcome = cursor.partition("~")
    try:
        moment, _ = datetime.fromisoformat(at), TickOutcome(outcome)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Invalid("the cursor is none of ours", [Problem(f"cursor is {cursor!r}", "/cursor")])
    return moment, outcome
