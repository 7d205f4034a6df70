"""The news of one service: nothing is lost in silence, nothing older comes after something newer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

import etlplus
from etlplus.actors.news import News, RunNews, Snapshot
from etlplus.actors.newsroom import HERE_MAX
from etlplus.jobs.model import JobDraft, Run
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.service.local import Service
from etlplus.service.views import JobView
from etlplus.settings import Engine, Settings

HANG_S = 20.0
"""Far more than anything here takes."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path / "data"), engine=Engine(slots=1, spares=False))


@etlplus.job("work")
async def work(context: etlplus.RunContext) -> None:
    """Nothing."""


async def next_told(feed: Any) -> Any:
    with trio.fail_after(HANG_S):
        return msgspec.json.decode(await anext(feed), type=News)


async def test_news_that_had_no_room_become_a_snapshot(settings: Settings) -> None:
    """More at once than can be told: the watcher gets a new snapshot instead, and what happens after it."""
    async with etlplus.open_service(settings, functions=[work]) as service:
        await service.queues.pause("default")
        async with service.events.watch(capacity=10) as feed:
            run = await service.runs.start("work")
            assert isinstance(await next_told(feed), RunNews)
            service.house.newsroom.tell(*[await service.house.store.run(run.id)] * (HERE_MAX + 1))
            told = await next_told(feed)
            assert isinstance(told, Snapshot)
            assert ([each.id for each in told.runs], feed.snapshot) == ([run.id], told)
            await service.runs.cancel(run.id)
            assert (await next_told(feed)).run.state == "cancelled"
            assert not feed.lagged


async def test_nothing_older_is_told_after_something_newer(settings: Settings) -> None:
    """Whoever hears of a run's end first, never hears of its beginning afterwards."""
    async with etlplus.open_service(settings, functions=[work]) as service:
        await service.queues.pause("default")
        first, second = await service.runs.start("work"), await service.runs.start("work")
        async with service.events.watch() as feed:
            one, two = [await service.house.store.run(run.id) for run in (first, second)]
            service.house.newsroom.tell(later(one, 5), later(one, 4), later(one, 5), later(two, 2))
            told: list[tuple[str, int]] = []
            while (second.id, 2) not in told:
                news = await next_told(feed)
                told.append((news.run.id, news.run.version))
            assert [version for run_id, version in told if run_id == first.id and version > 1] == [5]


def later(run: Run, version: int) -> Run:
    return msgspec.structs.replace(run, version=version)


async def two_in_turn(service: Service) -> tuple[Run, Run]:
    """Two runs of a schedule, of which the second waits for the first."""
    now = service.house.now()
    schedule = IntervalSchedule(every_s=3600, overlap="queue_one")
    job = await service.house.store.job_named("work")
    assert job is not None
    await service.house.store.save_job(JobDraft(name="work", python="work", schedule=schedule), now=now, job_id=job.id)
    (first,) = await service.house.store.tick(now=now + timedelta(hours=1, minutes=1))
    (second,) = await service.house.store.tick(now=now + timedelta(hours=2, minutes=1))
    assert (first.state, second.state) == ("queued", "blocked")
    return first, second


@pytest.fixture
async def service(settings: Settings) -> AsyncGenerator[Service]:
    async with etlplus.open_service(settings, functions=[work]) as opened:
        await opened.queues.pause("default")
        yield opened


@pytest.mark.parametrize("how", ["cancelled", "succeeded"])
async def test_a_run_that_goes_on_in_the_place_of_another_is_told(service: Service, how: str) -> None:
    """Whether the one before it was cancelled or has ended."""
    first, second = await two_in_turn(service)
    async with service.events.watch() as feed:
        if how == "cancelled":
            await service.runs.cancel(first.id)
        else:
            await service.queues.resume("default")
        told: dict[str, str] = {}
        while second.id not in told:
            news = await next_told(feed)
            told[news.run.id] = news.run.state
        assert told[first.id] == how
        assert told[second.id] == "scheduled"  # its time has not come in this world


async def overdue(service: Service, **options: Any) -> JobView:
    """The job by a schedule whose last nominal time has come, while nothing ticks."""

    async def never(**_: Any) -> list[Run]:
        await trio.sleep_forever()
        return []

    service.house.store.tick = never  # type: ignore[method-assign]
    then = service.house.now() - timedelta(minutes=90)
    job = await service.jobs.get("work")
    draft = JobDraft(name="work", python="work", schedule=IntervalSchedule(every_s=3600, **options))
    await service.house.store.save_job(draft, now=then, job_id=job.id)
    return await service.jobs.get("work")


def another(job: JobView) -> JobDraft:
    """The same job with the same schedule, but for its priority."""
    return JobDraft(name=job.name, python=job.python, schedule=job.schedule, priority=1)


async def test_runs_that_an_edit_makes_are_told(service: Service) -> None:
    """What was due and nothing had ticked for becomes a run when its job is saved, and whoever watches hears of that."""
    job = await overdue(service)
    async with service.events.watch() as feed:
        await service.jobs.replace("work", another(job), expected_version=job.version)
        told = await next_told(feed)
        assert (told.run.job_version, told.run.state, told.run.cause) == (job.version + 1, "queued", "schedule")


async def test_runs_that_an_edit_cancels_are_told_and_ended(settings: Settings) -> None:
    """One that runs and should give way to the next is told to end by the edit that makes the next."""
    began, ended = trio.Event(), trio.Event()

    @etlplus.job("work")
    async def endless(context: etlplus.RunContext) -> None:
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with etlplus.open_service(settings, functions=[endless]) as service:
        job = await overdue(service, overlap="cancel_old")
        first = await service.jobs.replace("work", another(job), expected_version=job.version)
        await began.wait()
        job = await overdue(service, overlap="cancel_old")
        async with service.events.watch() as feed:
            await service.jobs.replace("work", another(job), expected_version=job.version)
            with trio.fail_after(HANG_S):
                await ended.wait()
            told = [await next_told(feed) for _ in range(2)]
        assert {(each.run.job_version, each.run.cancel_requested) for each in told} == {
            (first.version, True), (job.version + 1, False),
        }  # fmt: skip
