"""
What all facets share: the house they work in, and on whose behalf.
"""

from __future__ import annotations

from dataclasses import dataclass

from etlplus.errors import Invalid, NotFound, Problem
from etlplus.jobs.model import Job
from etlplus.service.house import House
from etlplus.service.permissions import Principal

LIMIT_MAX = 500


@dataclass(frozen=True, slots=True)
class Facet:
    """One group of methods, for one principal."""

    house: House
    who: Principal

    async def find_job(self, job: str) -> Job:
        """A job by id or by name.

        Raises:
            NotFound: there is neither.
        """
        try:
            return await self.house.store.job(job)
        except NotFound:
            if found := await self.house.store.job_named(job):
                return found
            raise NotFound(f"there is no job {job!r}") from None


def checked_limit(limit: int) -> int:
    """The size of a page, or Invalid when it is not between 1 and 500."""
    if 1 <= limit <= LIMIT_MAX:
        return limit
    raise Invalid(
        "the page size is out of range", [Problem(f"limit is {limit}", "/limit", suggestion=f"1 to {LIMIT_MAX}")]
    )
