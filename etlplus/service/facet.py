"""
What all facets share: the house they work in, on whose behalf, and how they find what was named and tell what they did.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from inspect import isfunction

from etlplus.actors.messages import CancelHere, Wake
from etlplus.actors.newsroom import Stirred
from etlplus.actors.watchers import SCHEDULES
from etlplus.errors import Invalid, NotFound, Problem
from etlplus.jobs.ids import is_id
from etlplus.jobs.model import Job, Run, RunState
from etlplus.service.checking import for_good_values
from etlplus.service.house import House
from etlplus.service.permissions import Principal


@dataclass(frozen=True, slots=True)
class Facet:
    """One group of methods, for one principal. Texts and numbers that are handed to one are looked at before it is called."""

    house: House
    who: Principal

    def __init_subclass__(cls) -> None:
        for name, method in list(vars(cls).items()):
            if isfunction(method) and not name.startswith("_"):
                setattr(cls, name, for_good_values(method))

    async def find_job(self, job: str) -> Job:
        """A job by id or by name.

        Raises:
            NotFound: there is neither.
        """
        if is_id(job):
            with suppress(NotFound):
                return await self.house.store.job(job)
        if found := await self.house.store.job_named(job):
            return found
        raise NotFound(f"there is no job {job!r}")

    async def find_queue(self, queue: str, place: str = "/queue") -> str:
        """The name of a queue that somebody asked by.

        Raises:
            Invalid: there is no such queue; the problem names those that there are.
        """
        names = [counts.queue.name for counts in await self.house.store.queues()]
        if queue in names:
            return queue
        problem = Problem(f"there is no queue {queue!r}", place, "unknown_queue", suggestion=", ".join(names))
        raise Invalid("the question is not accepted", [problem], code="unknown_queue")

    def announce_schedule(self, *versions: Job) -> None:
        """Tell the watchers that a job was made, changed or forgotten, if one of these versions of it has a schedule."""
        if any(job.schedule is not None or job.fault is not None for job in versions):
            self.house.newsroom.tell(Stirred(SCHEDULES, (versions[0].id,)))

    def announce(self, runs: Sequence[Run]) -> None:
        """Tell the watchers and the dispatcher that these runs were made or made a transition; those in hand are to be ended."""
        self.house.newsroom.tell(*runs)
        if wake := Wake.of(runs):
            self.house.dispatcher.offer(wake)
        if unwanted := tuple(run.id for run in runs if run.cancel_requested and run.state is RunState.RUNNING):
            self.house.dispatcher.offer(CancelHere(unwanted))
