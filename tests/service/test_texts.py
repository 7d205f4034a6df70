"""What a program hands to the service: what cannot be kept, or is of another type, is refused by name, wherever it is handed
over.
"""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any, cast

import pytest

import etlplus
from etlplus.errors import Invalid
from etlplus.jobs.queues import QueueDraft
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


def parameters(*annotations: str) -> list[tuple[type[Facet], str, str]]:
    """Each method of each facet, with each of its parameters that is annotated so."""
    return [
        (facet, name, parameter.name)
        for facet in FACETS
        for name, method in vars(facet).items()
        if not name.startswith("_") and callable(method)
        for parameter in signature(method).parameters.values()
        if str(parameter.annotation) in annotations
    ]


@pytest.mark.parametrize("broken", ["job\ud800", "job\0"])
async def test_a_text_that_cannot_be_kept_is_refused_wherever_it_is_handed_over(tmp_path: Path, broken: str) -> None:
    """Half of a surrogate pair, or NUL: by the name of the parameter; nothing is asked of the store."""
    async with etlplus.open_service(Settings(data_dir=str(tmp_path / "data"))) as service:
        asked = parameters("str", "str | None")
        assert (JobsFacet, "get", "job") in asked
        for facet, method, parameter in asked:
            call = getattr(facet(service.house, service.who), method)
            with pytest.raises(Invalid) as refused:
                await call(**{parameter: broken})
            (problem,) = refused.value.problems
            assert (problem.code, problem.pointer) == ("bad_text", f"/{parameter}"), f"{facet.__name__}.{method}"
        with pytest.raises(Invalid) as refused:
            async with service.events.watch(("runs", broken)):
                pass
        assert refused.value.problems[0].pointer == "/topics/1"


async def test_another_type_is_refused_wherever_it_is_handed_over(tmp_path: Path) -> None:
    """Bytes for a text, a text for a number or a choice: by the name of the parameter, with what it should be."""
    async with etlplus.open_service(Settings(data_dir=str(tmp_path / "data"))) as service:
        texts = [(*each, b"job") for each in parameters("str", "str | None")]
        others = [(*each, "10") for each in parameters("int", "int | None", "bool")]
        assert (RunsFacet, "log", "attempt", "10") in others
        for facet, method, parameter, wrong in texts + others:
            call = getattr(facet(service.house, service.who), method)
            with pytest.raises(Invalid) as refused:
                await call(**{parameter: wrong})
            (problem,) = refused.value.problems
            assert problem.pointer == f"/{parameter}", f"{facet.__name__}.{method}"
            assert f"got `{type(wrong).__name__}`" in problem.message


async def test_a_document_of_another_type_is_refused_and_plain_data_that_fit_are_taken(tmp_path: Path) -> None:
    """A definition, a wish or a limit may be given as the data that it would be in JSON; what does not fit is named."""
    refusals: dict[str, Any] = {
        "/name": lambda service: service.queues.save({"name": 5}),
        "/slots": lambda service: service.limits.save({"name": "n", "slots": "2"}),
        "/priority": lambda service: service.jobs.create({"name": "n", "command": {"argv": ["x"]}, "priority": -1}),
        "/runs/1/params": lambda service: service.runs.start_many([{"job": "n"}, {"job": "n", "params": ["x"]}]),
        "/which/all": lambda service: service.letters.discard({"all": "yes"}, reason="none"),
        "/params": lambda service: service.runs.start("n", {"x": object()}),
    }
    async with etlplus.open_service(Settings(data_dir=str(tmp_path / "data"))) as service:
        for pointer, asked in refusals.items():
            with pytest.raises(Invalid) as refused:
                await asked(service)
            assert refused.value.problems[0].pointer == pointer, str(refused.value)
        assert (await service.jobs.list()).items == []
        await service.queues.save(cast("QueueDraft", {"name": "still"}))
        assert (await service.queues.get("still")).queue.slots is None
