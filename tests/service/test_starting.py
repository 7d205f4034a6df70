"""Starting runs by the name of a job, again and again: what was known of it never counts more than what is stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

import etlplus
from etlplus.errors import Invalid, NotFound
from etlplus.jobs.kinds import Command
from etlplus.jobs.model import Job, JobDraft
from etlplus.jobs.queues import QueueDraft, QueueMode
from etlplus.service.local import Service
from etlplus.settings import Engine, Settings


@etlplus.job("count")
async def count(context: etlplus.RunContext, *, number: int) -> None:
    """Takes a number."""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Service]:
    settings = Settings(data_dir=str(tmp_path), engine=Engine(slots=1, spares=False))
    async with etlplus.open_service(settings, functions=[count]) as opened:
        await opened.house.store.save_queue(QueueDraft(name="still"), now=opened.house.now())
        await opened.house.store.set_queue_mode("still", QueueMode.PAUSED, now=opened.house.now())
        yield opened


async def saved(service: Service, name: str, job_id: str | None = None, **options: Any) -> Job:
    """A job as another node would save it."""
    fields: dict[str, Any] = {"name": name, "command": Command(argv=("true",)), "queue": "still"} | options
    return await service.house.store.save_job(JobDraft(**fields), now=service.house.now(), job_id=job_id)


async def test_the_newest_version_is_started(service: Service) -> None:
    """A job that was saved again since it was last started is started as it is now."""
    job = await saved(service, "nightly")
    assert (await service.runs.start("nightly")).job_version == 1
    await saved(service, "nightly", job.id, priority=3)
    run = await service.runs.start("nightly")
    assert (run.job_version, run.priority) == (2, 3)


async def test_a_name_that_went_to_another_job_means_that_one(service: Service) -> None:
    """Who asks by name gets the job that has the name now."""
    first = await saved(service, "nightly")
    await service.runs.start("nightly")
    await saved(service, "weekly", first.id)
    with pytest.raises(NotFound):
        await service.runs.start("nightly")
    second = await saved(service, "nightly")
    assert (await service.runs.start("nightly")).job_id == second.id
    assert (await service.runs.start("weekly")).job_id == first.id


async def test_a_job_that_is_gone_cannot_be_started(service: Service) -> None:
    """By name or by id, whatever was started before."""
    job = await saved(service, "nightly")
    for asked in ("nightly", job.id):
        run = await service.runs.start(asked)
        await service.runs.cancel(run.id)
    await service.house.store.delete_job(job.id, now=service.house.now())
    for asked in ("nightly", job.id):
        with pytest.raises(NotFound):
            await service.runs.start(asked)


async def test_parameters_are_judged_by_the_job_as_it_is_now(service: Service) -> None:
    """What a function refused is accepted once the job is no function any more, and the other way round."""
    job = await service.house.store.job_named("count")
    assert job is not None
    await service.runs.start("count", {"number": 7})
    with pytest.raises(Invalid):
        await service.runs.start("count", {"number": "seven"})
    await saved(service, "count", job.id)
    assert (await service.runs.start("count", {"number": "seven"})).params == {"number": "seven"}
    await saved(service, "count", job.id, command=None, python="count")
    with pytest.raises(Invalid):
        await service.runs.start("count", {"number": "seven"})
