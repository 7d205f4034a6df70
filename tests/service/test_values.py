"""Values that a program hands to the service and that cannot be kept, or mean nothing: each is refused by its place."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

import etlplus
from etlplus.errors import Invalid
from etlplus.jobs.kinds import HANDED_CHARS_MAX, Command
from etlplus.jobs.model import JobDraft
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.service.choosing import Letters
from etlplus.service.local import Service
from etlplus.service.wishes import RunWish
from etlplus.settings import Engine, Settings

FIRST = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
LAST = datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))
RING: dict[str, Any] = {}
RING["a"] = [RING]


def deep() -> dict[str, Any]:
    """Objects in each other, a thousand of them."""
    value: dict[str, Any] = {}
    for _ in range(1000):
        value = {"a": value}
    return value


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Service]:
    settings = Settings(data_dir=str(tmp_path), engine=Engine(slots=1, spares=False))
    async with etlplus.open_service(settings) as opened:
        await opened.jobs.create(JobDraft(name="n", command=Command(argv=("true",))))
        yield opened


async def told(call: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> tuple[str, str]:
    """Place and code of the one thing that is wrong with a call."""
    with pytest.raises(Invalid) as refused:
        await call(*args, **options)
    (problem,) = refused.value.problems
    return problem.pointer, problem.code


PARAMS: list[tuple[Any, str, str]] = [
    (RING, "", "too_deep"),
    (deep(), "", "too_deep"),
    ({"x": [1, float("nan")]}, "/x/1", "bad_number"),
    ({"x": 2**64}, "/x", "bad_number"),
    ({"x": b"y"}, "/x", "not_json"),
    ({"x": {"y": {1: 2}}}, "/x/y", "not_json"),
    ({"x": object()}, "", "invalid"),
    ([], "", "invalid"),
    ("", "", "invalid"),
    (0, "", "invalid"),
]


@pytest.mark.parametrize(("params", "pointer", "code"), PARAMS)
async def test_parameters_that_no_run_can_have_are_refused(
    service: Service, params: Any, pointer: str, code: str
) -> None:
    """Of one run, of one amid many, of a schedule, and as the edit of a replay; nothing is stored."""
    assert await told(service.runs.start, "n", params) == (f"/params{pointer}", code)
    many = [RunWish(job="n"), RunWish(job="n", params=params), RunWish(job="n")]
    assert await told(service.runs.start_many, many) == (f"/runs/1/params{pointer}", code)
    assert (await told(service.letters.replay, Letters(all=True), edit=params))[0].startswith("/edit")
    draft = JobDraft(name="s", command=Command(argv=("true",)), schedule=IntervalSchedule(every_s=60, params=params))
    assert (await told(service.jobs.create, draft))[0].startswith("/schedule")
    assert (await service.runs.list()).items == []
    assert [job.name for job in (await service.jobs.list()).items] == ["n"]


@pytest.mark.parametrize("value", [RING, deep(), {"x": float("inf")}, {"x": 2**64}, {"x": {(1, 2): 3}}])
async def test_a_pipeline_with_such_a_value_is_refused(service: Service, value: Any) -> None:
    """Before anybody looks at what it means."""
    pointer, _ = await told(service.jobs.create, JobDraft(name="p", pipeline={"steps": value}))
    assert pointer.startswith("/pipeline")


async def test_one_bad_wish_among_ten_thousand_is_named_and_none_is_stored(service: Service) -> None:
    """By its number and field; of many bad ones the first twenty are told."""
    wishes = [RunWish(job="n", params={"n": number}) for number in range(10_000)]
    wishes[5000] = RunWish(job="n", priority=-1)
    assert await told(service.runs.start_many, wishes) == ("/runs/5000/priority", "invalid")
    assert await told(service.runs.start_many, [*wishes, wishes[0]]) == ("/runs", "invalid")
    at = datetime(2500, 1, 1, tzinfo=UTC)
    with pytest.raises(Invalid) as refused:
        await service.runs.start_many([RunWish(job="n", run_at=at)] * 10_000)
    assert [each.pointer for each in refused.value.problems] == [f"/runs/{number}/run_at" for number in range(20)]
    for wrong in (None, 5, {"job": "n"}, (each for each in wishes)):
        assert await told(service.runs.start_many, cast("Any", wrong)) == ("/wishes", "invalid")
    assert (await service.runs.list()).items == []


@pytest.mark.parametrize("moment", [datetime(2026, 1, 1), date(2026, 1, 1), 5, float("nan"), FIRST, LAST])  # noqa: DTZ001
async def test_a_moment_without_a_zone_or_too_far_away_is_refused(service: Service, moment: Any) -> None:
    """Wherever one is asked for."""
    every = IntervalSchedule(every_s=60)
    assert await told(service.schedules.preview, every, start=moment) == ("/start", "invalid")
    assert await told(service.schedules.upcoming, "n", start=moment) == ("/start", "invalid")
    assert await told(service.runs.start, "n", run_at=moment) == ("/run_at", "invalid")
    assert await told(service.letters.list, Letters(failed_from=moment)) == ("/failed_from", "invalid")
    which = Letters(failed_before=moment)
    assert await told(service.letters.discard, which, reason="x") == ("/which/failed_before", "invalid")


async def test_a_schedule_that_is_only_looked_at_is_checked_like_one_that_is_stored(service: Service) -> None:
    """A record made in a program may hold what no document could."""
    assert await told(service.schedules.preview, IntervalSchedule(every_s=0)) == ("/schedule/every_s", "invalid")
    wrong: Any = IntervalSchedule(every_s=60, misfire=cast("Any", "never"))
    assert await told(service.schedules.preview, wrong) == ("/schedule/misfire", "invalid")


async def test_true_is_no_number(service: Service) -> None:
    """Neither as the size of a page nor as a version."""
    assert await told(service.runs.list, limit=True) == ("/limit", "invalid")
    assert await told(service.jobs.delete, "n", expected_version=True) == ("/expected_version", "invalid")


async def test_texts_have_a_length(service: Service) -> None:
    """Also those that are no documents: names, keys, and what a command is handed."""
    long = "x" * 10_000_000
    assert await told(service.runs.start, long) == ("/job", "too_long")
    assert await told(service.runs.start, "n", idempotency_key="x" * 301) == ("/idempotency_key", "bad_key")
    assert await told(service.runs.start, "n", idempotency_key="") == ("/idempotency_key", "bad_key")
    assert await told(service.runs.start_many, [RunWish(job=long)]) == ("/runs/0/job", "invalid")
    commands: dict[str, dict[str, Any]] = {
        "/command/argv/1": {"argv": ("echo", long)},
        "/command/env/A": {"argv": ("true",), "env": {"A": long}},
        "/command/env/A=B": {"argv": ("true",), "env": {"A=B": ""}},
        "/command/cwd": {"argv": ("true",), "cwd": long},
    }
    for pointer, fields in commands.items():
        assert await told(service.jobs.create, JobDraft(name="c", command=Command(**fields))) == (pointer, "invalid")
    most = Command(argv=("echo", *["x" * HANDED_CHARS_MAX] * 10))
    assert await told(service.jobs.create, JobDraft(name="c", command=most)) == ("", "too_large")


async def test_the_parameters_of_a_command_fit_into_its_environment(service: Service) -> None:
    """Others may be ten times as large."""
    assert await told(service.runs.start, "n", {"x": "y" * 100_000}) == ("/params", "too_large")


async def test_the_first_user_has_a_name(service: Service) -> None:
    """Like those of everything else; the token can be used again after a refusal."""
    token = service.house.bootstrap.issue()
    for name in ("", "a/b", "x" * 201):
        assert await told(service.identity.bootstrap, token, name, "correct horse") == ("/name", "invalid")
    assert (await service.identity.bootstrap(token, "ada", "correct horse")).name == "ada"


async def test_a_watcher_has_room_for_something(service: Service) -> None:
    """And the broadcaster outlives one that asks for less."""
    for capacity in (-1, 0, 10**9):
        with pytest.raises(Invalid) as refused:
            async with service.events.watch(capacity=capacity):
                pass
        assert refused.value.problems[0].pointer == "/capacity"
