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
from types import NoneType
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from etlplus.actors.messages import CancelHere, Wake
from etlplus.actors.newsroom import Stirred
from etlplus.actors.watchers import SCHEDULES
from etlplus.errors import Invalid, NotFound, Problem
from etlplus.jobs.checks import check_texts
from etlplus.jobs.ids import is_id
from etlplus.jobs.model import Job, Run, RunState
from etlplus.pipeline.complaints import problem_of
from etlplus.service.house import House
from etlplus.service.permissions import Principal

LIMIT_MAX = 500
S = TypeVar("S", bound=msgspec.Struct)
_PLAIN: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "str | None": (str, NoneType),
    "int": int,
    "int | None": (int, NoneType),
    "bool": bool,
}
"""Annotations of parameters that are looked at before a method is called."""


@dataclass(frozen=True, slots=True)
class Facet:
    """One group of methods, for one principal. Texts and numbers that are handed to one are looked at before it is called."""

    house: House
    who: Principal

    def __init_subclass__(cls) -> None:
        for name, method in list(vars(cls).items()):
            if isfunction(method) and not name.startswith("_"):
                setattr(cls, name, _for_good_values(method))

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


def checked_limit(limit: int, at_most: int = LIMIT_MAX) -> int:
    """The size of a page, or Invalid when it is not between 1 and 500, or what else is allowed at most."""
    return checked_number(limit, "limit", at_most)


def checked_number(value: int, name: str, at_most: int) -> int:
    """A number from 1 on, or Invalid when it is not, or is too large."""
    if 1 <= value <= at_most:
        return value
    problem = Problem(f"{name} is {value}", f"/{name}", suggestion=f"1 to {at_most:,}")
    raise Invalid("a number is out of range", [problem])


def checked(record: S, kind: type[S], place: str = "") -> S:
    """
    The same record, once every field fits what its type says, and every text can be kept; records that were made in a program
    are not checked yet.

    Args:
        kind: What it should be. Plain data that fits it becomes it.
        place: Where the record stands in what the caller gave; put in front of the pointer.

    Raises:
        Invalid: one does not; the problem names it.
    """
    fields = _plain(record, place)
    try:
        found = msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        problem = problem_of(error, fields, kind)
        raise Invalid("this is not accepted", [structs.replace(problem, pointer=place + problem.pointer)]) from None
    refuse_broken(fields, place)
    return found


def _plain(record: Any, place: str) -> Any:
    """A record as plain data; Invalid names the field of it that cannot be written as JSON."""
    try:
        return msgspec.to_builtins(record)
    except TypeError as error:
        problem = Problem(f"this cannot be written as JSON: {error}", place + _unwritable(record))
        raise Invalid("this is not accepted", [problem]) from None


def _unwritable(record: Any) -> str:
    """The field of a record that cannot be written as JSON, as a pointer."""
    for name in getattr(record, "__struct_fields__", ()):
        try:
            msgspec.to_builtins(getattr(record, name))
        except TypeError:
            return f"/{name}"
    return ""


def _for_good_values(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, for texts that can be kept, and for numbers and texts where it wants them; anything else is refused by the
    name of its parameter. At what is neither number nor text the method looks itself.
    """
    wanted = {name: str(each.annotation) for name, each in signature(method).parameters.items()}
    names = list(wanted)[1:]

    @wraps(method)
    def call(self: Facet, *args: Any, **options: Any) -> Any:
        for name, value in chain(zip(names, args, strict=False), options.items()):
            if not isinstance(value, _PLAIN.get(wanted.get(name, ""), object)):
                problem = Problem(f"Expected `{wanted[name]}`, got `{type(value).__name__}`", f"/{name}")
                raise Invalid("this is not accepted", [problem])
            if isinstance(value, str):
                refuse_broken(value, f"/{name}")
        return method(self, *args, **options)

    return call


def refuse_broken(value: Any, place: str) -> None:
    """Raises Invalid for a text that cannot be kept, wherever it stands in a value."""
    if refusals := check_texts(value, place):
        problems = [Problem(each.message, each.pointer, each.code, suggestion=each.accepted) for each in refusals]
        raise Invalid("this is not accepted", problems, code=refusals[0].code)
