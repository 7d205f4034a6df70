"""Parameters and intervals, from asking for a run to the rows that it loads."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import yaml
from pyarrow import parquet

import etlplus
from etlplus.errors import Invalid, Misconfigured
from etlplus.jobs.model import JobDraft, RetryPolicy
from etlplus.jobs.schedules import IntervalSchedule, OnceSchedule
from etlplus.service.choosing import Letters
from etlplus.service.local import Service
from etlplus.service.wishes import RunWish
from etlplus.settings import Engine, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text("utf-8")
FILES = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
DAY = (datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC))


@etlplus.job("count")
async def count(context: etlplus.RunContext, *, number: int) -> None:
    """Takes a number."""


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Service]:
    (tmp_path / "orders.csv").write_text(FILES["orders.csv"])
    settings = Settings(data_dir=str(tmp_path / "data"), engine=Engine(slots=1, spares=False))
    async with etlplus.open_service(settings, functions=[count]) as opened:
        yield opened


def nightly(folder: Path, **changes: Any) -> JobDraft:
    """The job of the page on pipelines."""
    said = yaml.safe_load(FILES["nightly.yaml"]) | {"base_dir": str(folder)} | changes
    return msgspec.convert(said, JobDraft)


async def told(asking: Awaitable[Any]) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as refused:
        await asking
    return [(problem.pointer, problem.code) for problem in refused.value.problems]


async def test_a_run_that_does_not_fit_is_refused_and_none_is_made(service: Service, tmp_path: Path) -> None:
    """One or one of many: with each place, and what would do."""
    await service.jobs.create(nightly(tmp_path))
    assert await told(service.runs.start("nightly", {"shp": "x", "least": "few"})) == [
        ("/params/shp", "unknown_param"),
        ("/params/shop", "missing_param"),
        ("/params/least", "invalid_params"),
        ("/interval", "missing_interval"),
    ]
    backwards = service.runs.start("nightly", {"shop": "north"}, interval=(DAY[1], DAY[0]))
    assert await told(backwards) == [("/interval", "invalid")]
    good = RunWish(job="nightly", params={"shop": "north"}, interval=DAY)
    wishes = [good, msgspec.structs.replace(good, params={"shop": "../.."})]
    assert await told(service.runs.start_many(wishes)) == [("/runs/1/params/shop", "invalid_params")]
    many = {f"p{number}": number for number in range(10_000)}
    assert len(await told(service.runs.start("nightly", many, interval=DAY))) == 20
    assert (await service.runs.list()).items == []


async def test_the_parameters_of_a_schedule_are_judged_with_its_job(service: Service, tmp_path: Path) -> None:
    """When it is made and whenever it is edited; what was there stays as it was."""
    made = await service.jobs.create(nightly(tmp_path))
    edited = nightly(tmp_path)
    assert edited.pipeline is not None
    edited.pipeline["params"]["day"] = {"type": "date"}
    edited.pipeline["params"]["shop"] = {"choices": ["south"]}
    saving = service.jobs.replace("nightly", edited, expected_version=made.version)
    found = [("/schedule/params/shop", "invalid_params"), ("/schedule/params/day", "missing_param")]
    # Of a text with choices every choice fits the path; what the schedule gives is none of them.
    assert await told(saving) == found
    assert [(problem.pointer, problem.code) for problem in await service.jobs.check(edited)] == found
    assert await service.jobs.get("nightly") == made
    once = nightly(tmp_path, name="once", schedule={"kind": "once", "at": "2150-01-01T00:00:00Z"})
    assert ("/schedule/kind", "missing_interval") in await told(service.jobs.create(once))
    for given, name in (({"number": "x"}, "number"), ({"n": 1}, "n"), ({}, "number")):
        draft = JobDraft(name="often", python="count", schedule=IntervalSchedule(every_s=60, params=given))
        assert await told(service.jobs.create(draft)) == [(f"/schedule/params/{name}", "invalid_params")]
    later = OnceSchedule(at=datetime(2150, 1, 1, tzinfo=UTC), params={"number": 1})
    await service.jobs.create(JobDraft(name="often", python="count", schedule=later))


def test_a_function_is_not_declared_with_a_schedule_that_it_cannot_serve() -> None:
    """Each of its runs would fail."""
    with pytest.raises(Misconfigured, match="count"):
        etlplus.job("count", schedule=IntervalSchedule(every_s=60))(count.call)
    etlplus.job("count", schedule=IntervalSchedule(every_s=60, params={"number": 1}))(count.call)


async def finished(service: Service, run_id: str, news: Any) -> Any:
    with trio.fail_after(60):
        while not (run := await service.runs.get(run_id)).finished:
            await anext(news)
    return run


@pytest.mark.slow
async def test_a_replay_has_the_parameters_and_the_interval_of_what_failed(service: Service, tmp_path: Path) -> None:
    """An edit that does not fit is told, and makes nothing; a job that asks for more now says so."""
    draft = nightly(tmp_path, schedule=None)
    made = await service.jobs.create(msgspec.structs.replace(draft, retry=RetryPolicy(attempts_max=1)))
    (tmp_path / "orders.csv").unlink()
    async with service.events.watch() as feed:
        news = aiter(feed)
        failed = await service.runs.start("nightly", {"shop": "north"}, interval=DAY)
        assert (await finished(service, failed.id, news)).state == "failed"
        (tmp_path / "orders.csv").write_text(FILES["orders.csv"])
        which = Letters(run_ids=(failed.id,))
        for edit, said in (
            ({"least": "few"}, "/params/least"),
            ({"x": 1}, "/params/x"),
            ({"shop": None}, "/params/shop"),
        ):
            (item,) = (await service.letters.replay(which, edit=edit)).items
            assert (item.replay, item.problems[0].startswith(f"{said}:")) == (None, True)
        wider = nightly(tmp_path, schedule=None)
        assert wider.pipeline is not None
        wider.pipeline["params"]["day"] = {"type": "date"}
        changed = await service.jobs.replace("nightly", wider, expected_version=made.version)
        (item,) = (await service.letters.replay(which)).items
        assert "/params/day: the parameter 'day' is missing" in item.problems[0]
        await service.jobs.replace("nightly", draft, expected_version=changed.version)
        (item,) = (await service.letters.replay(which, edit={"least": 30})).items
        assert item.replay is not None
        done = await finished(service, item.replay.id, news)
    assert (done.state, done.params, done.interval) == ("succeeded", {"shop": "north", "least": 30}, DAY)
    assert parquet.read_table(tmp_path / "north-2026-03-28.parquet")["id"].to_pylist() == [4]


@pytest.mark.slow
async def test_each_night_loads_its_day(tmp_path: Path) -> None:
    """A tick of the schedule gives its run the day that has ended and the schedule's parameters; the file is that day's."""
    (tmp_path / "orders.csv").write_text(FILES["orders.csv"])
    started = time.monotonic()

    def clock() -> datetime:
        return DAY[1] + timedelta(seconds=time.monotonic() - started - 2)

    settings = Settings(data_dir=str(tmp_path / "data"), engine=Engine(slots=1))
    async with etlplus.open_service(settings, clock=clock) as service, service.events.watch() as feed:
        news = aiter(feed)
        await service.jobs.create(nightly(tmp_path))
        with trio.fail_after(60):
            while not (made := (await service.runs.list()).items):
                await anext(news)
        run = await finished(service, made[0].id, news)
    assert (run.state, run.params, run.interval) == ("succeeded", {"shop": "north"}, DAY)
    assert parquet.read_table(tmp_path / "north-2026-03-28.parquet")["id"].to_pylist() == [2, 4]
