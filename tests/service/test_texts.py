"""Texts that a program hands to the service: what cannot be kept is refused by name, whatever it is handed to."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import pytest

import etlplus
from etlplus.errors import Invalid
from etlplus.service.events import EventsFacet
from etlplus.service.facet import Facet
from etlplus.service.identity import IdentityFacet
from etlplus.service.jobs import JobsFacet
from etlplus.service.letters import LettersFacet
from etlplus.service.limits import LimitsFacet
from etlplus.service.queues import QueuesFacet
from etlplus.service.runs import RunsFacet
from etlplus.service.schedules import SchedulesFacet
from etlplus.settings import Settings

FACETS: tuple[type[Facet], ...] = (
    EventsFacet, IdentityFacet, JobsFacet, LettersFacet, LimitsFacet, QueuesFacet, RunsFacet, SchedulesFacet,
)  # fmt: skip
HALF = "job\ud800"


def texts() -> list[tuple[type[Facet], str, str]]:
    """Each method of each facet, with each of its parameters that is a text."""
    return [
        (facet, name, parameter.name)
        for facet in FACETS
        for name, method in vars(facet).items()
        if not name.startswith("_") and callable(method)
        for parameter in signature(method).parameters.values()
        if str(parameter.annotation).startswith("str")
    ]


async def test_half_of_a_surrogate_pair_is_refused_wherever_it_is_handed_over(tmp_path: Path) -> None:
    """By the name of the parameter, as for texts within what is handed over; nothing is asked of the store."""
    async with etlplus.open_service(Settings(data_dir=str(tmp_path / "data"))) as service:
        asked = texts()
        assert (JobsFacet, "get", "job") in asked
        for facet, method, parameter in asked:
            call = getattr(facet(service.house, service.who), method)
            with pytest.raises(Invalid) as refused:
                await call(**{parameter: HALF})
            (problem,) = refused.value.problems
            assert (problem.code, problem.pointer) == ("bad_text", f"/{parameter}"), f"{facet.__name__}.{method}"
        with pytest.raises(Invalid) as refused:
            async with service.events.watch(("runs", HALF)):
                pass
        assert refused.value.problems[0].pointer == "/topics/1"
