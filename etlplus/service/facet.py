"""
What all facets share: the house they work in, on whose behalf, and how what they get is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from inspect import isfunction, signature
from itertools import chain
from typing import Any, TypeVar

import msgspec

from etlplus.actors.messages import CancelHere, Wake
from etlplus.actors.newsroom import Stirred
from etlplus.actors.watchers import SCHEDULES
from etlplus.errors import Invalid, NotFound, Problem
from etlplus.jobs.checks import check_texts
from etlplus.jobs.ids import is_id
from etlplus.jobs.model import Job, Run, RunState
from etlplus.service.house import House
from etlplus.service.permissions import Principal

LIMIT_MAX = 500
S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Facet:
    """One group of methods, for one principal. Texts that are handed to one are looked at before it is called."""

    house: House
    who: Principal

    def __init_subclass__(cls) -> None:
        for name, method in list(vars(cls).items()):
            if isfunction(method) and not name.startswith("_"):
                setattr(cls, name, _for_good_texts(method))

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

    async def find_queue(self, queue: str) -> str:
        """The name of a queue that somebody asked by.

        Raises:
            Invalid: there is no such queue; the problem names those that there are.
        """
        names = [counts.queue.name for counts in await self.house.store.queues()]
        if queue in names:
            return queue
        problem = Problem(f"there is no queue {queue!r}", "/queue", "unknown_queue", suggestion=", ".join(names))
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


def checked_limit(limit: int, at_most: int = LIMIT_MAX) -> int:
    """The size of a page, or Invalid when it is not between 1 and 500, or what else is allowed at most."""
    return checked_number(limit, "limit", at_most)


def checked_number(value: int, name: str, at_most: int) -> int:
    """A number from 1 on, or Invalid when it is not, or is too large."""
    if 1 <= value <= at_most:
        return value
    problem = Problem(f"{name} is {value}", f"/{name}", suggestion=f"1 to {at_most:,}")
    raise Invalid("a number is out of range", [problem])


def checked(record: S, place: str = "") -> S:
    """
    The same record, once every field fits what its type says, and every text can be kept; records that were made in a program
    are not checked yet.

    Args:
        place: Where the record stands in what the caller gave; put in front of the pointer.

    Raises:
        Invalid: one does not; the problem names it.
    """
    try:
        fields = msgspec.to_builtins(record)
        found = msgspec.convert(fields, type(record))
    except msgspec.ValidationError as error:
        problem = problem_of(error)
    except TypeError as error:
        problem = Problem(f"this cannot be written as JSON: {error}")
    else:
        refuse_broken(fields, place)
        return found
    raise Invalid("this is not accepted", [msgspec.structs.replace(problem, pointer=place + problem.pointer)])


def _for_good_texts(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, for texts that can be kept; one that cannot is refused by the name of its parameter. At what is not plainly
    text the method looks itself.
    """
    names = list(signature(method).parameters)[1:]

    @wraps(method)
    def call(self: Facet, *args: Any, **options: Any) -> Any:
        for name, value in chain(zip(names, args, strict=False), options.items()):
            if isinstance(value, str):
                refuse_broken(value, f"/{name}")
        return method(self, *args, **options)

    return call


def refuse_broken(value: Any, place: str) -> None:
    """Raises Invalid for a text that cannot be kept, wherever it stands in a value."""
    if refusals := check_texts(value, place):
        problems = [Problem(each.message, each.pointer, each.code, suggestion=each.accepted) for each in refusals]
        raise Invalid("this is not accepted", problems, code=refusals[0].code)


def problem_of(error: msgspec.ValidationError) -> Problem:
    """The sentence and the place, which msgspec joins as ``sentence - at `$.a.b[0]```."""
    sentence, _, place = str(error).partition(" - at `$")
    pointer = place.rstrip("`").replace("[", ".").replace("]", "").replace(".", "/")
    return Problem(sentence, pointer)
