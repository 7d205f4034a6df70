"""Cancelling many runs over REST: found by what they are, counted first, in stretches; what is not understood cancels nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from house_kit import COMMAND, House, open_house

from etlplus.client import connect
from etlplus.errors import Forbidden, Invalid
from etlplus.jobs.kinds import Command
from etlplus.jobs.model import JobDraft
from etlplus.jobs.queues import LimitDraft, LimitUse, QueueDraft
from etlplus.service.choosing import UnfinishedRuns
from etlplus.service.permissions import ROLES, Principal
from etlplus.service.wishes import RunWish


@pytest.fixture
async def waiting(tmp_path: Path) -> AsyncGenerator[tuple[House, list[str]]]:
    """A house in whose queue ``still`` four runs of ``a`` and two of ``b`` wait, and nothing begins there."""
    async with open_house(tmp_path) as house:
        service = house.service
        await service.queues.save(QueueDraft(name="still"))
        await service.queues.pause("still")
        await service.limits.save(LimitDraft(name="tenant", slots=1))
        for name in ("a", "b"):
            use = LimitUse("tenant", by="n") if name == "a" else None
            await service.jobs.create(JobDraft(name=name, queue="still", command=COMMAND, limit=use))
        wishes = [RunWish(job="a", params={"n": n}) for n in (1, 1, 2, 2)] + [RunWish(job="b")] * 2
        made = await service.runs.start_many(wishes)
        yield house, made.run_ids


async def ask(house: House, body: Any, key: str | None = None) -> Any:
    headers = house.signed_in | ({"Idempotency-Key": key} if key else {})
    return await house.http.post("/api/v1/runs/cancel", json=body, headers=headers)


async def left(house: House) -> int:
    return len((await house.service.runs.list(state="queued")).items)


async def test_many_are_counted_and_then_cancelled(waiting: tuple[House, list[str]]) -> None:
    """A dry run counts all that are meant and changes nothing; the deed names each."""
    house, runs = waiting
    which = {"job": "a", "states": ["queued"], "limit_key": "tenant/2"}
    tried = (await ask(house, {"which": which, "dry_run": True, "limit": 1})).json()
    assert tried == {"cancelled": 2, "asked": 0, "run_ids": [], "dry_run": True, "next_cursor": None}
    assert await left(house) == 6
    done = await ask(house, {"which": which})
    assert done.status_code == 200
    assert sorted(done.json().pop("run_ids")) == runs[2:4]
    assert (await ask(house, {"which": which})).json()["cancelled"] == 0
    assert (await house.service.runs.get(runs[2])).state == "cancelled"
    assert await left(house) == 4


async def test_stretches_go_on_with_the_cursor(waiting: tuple[House, list[str]]) -> None:
    """Newest first, and asked again with the same key, a stretch is answered as before."""
    house, runs = waiting
    body: dict[str, Any] = {"which": {"queue": "still"}, "limit": 4}
    first, again = [(await ask(house, body, key="k")).json() for _ in range(2)]
    assert (first, sorted(first["run_ids"]), await left(house)) == (again, runs[2:], 2)
    rest = (await ask(house, body | {"cursor": first["next_cursor"]})).json()
    assert (sorted(rest["run_ids"]), rest["next_cursor"]) == (runs[:2], None)


REFUSED: list[tuple[Any, int, str]] = [
    ({}, 422, "/which"),
    ({"which": {}}, 422, "/which"),
    ({"which": {"all": True, "job": "a"}}, 422, "/which/all"),
    ({"which": {"colour": "red"}}, 422, "/which/colour"),
    ({"which": {"states": ["failed"]}}, 422, "/which/states/0"),
    ({"which": {"queue": "nowhere"}}, 422, "/which/queue"),
    ({"which": {"limit_key": ""}}, 422, "/which/limit_key"),
    ({"which": {"limit_key": "a\0b"}}, 422, "/which/limit_key"),
    ({"which": {"made_before": "2030-01-01T00:00:00"}}, 422, "/which/made_before"),
    ({"which": {"made_before": "9999-12-31T23:59:59Z"}}, 422, "/which/made_before"),
    ({"which": {"all": True}, "limit": 0}, 422, "/limit"),
    ({"which": {"all": True}, "limit": 1001}, 422, "/limit"),
    ({"which": {"all": True}, "cursor": "7"}, 422, "/cursor"),
    ({"which": {"job": "nowhere"}}, 404, ""),
]


async def test_nobody_means_all_by_saying_nothing(waiting: tuple[House, list[str]]) -> None:
    """What is not understood is refused with its place, and every run stays."""
    house, _ = waiting
    for body, status, pointer in REFUSED:
        answer = await ask(house, body)
        assert answer.status_code == status, (body, answer.text)
        if status == 422:
            assert answer.json()["errors"][0]["pointer"] == pointer, (body, answer.text)
    assert await left(house) == 6


async def test_it_takes_the_permission_of_a_single_cancel(waiting: tuple[House, list[str]]) -> None:
    """Without it not even a dry run is carried out."""
    house, _ = waiting
    viewer = Principal(id="v", name="v", role="viewer", permissions=ROLES["viewer"])
    with pytest.raises(Forbidden, match="runs:cancel"):
        await house.service.acting_as(viewer).runs.cancel_many(UnfinishedRuns(all=True), dry_run=True)
    operator = msgspec.structs.replace(viewer, permissions=ROLES["operator"])
    assert (
        await house.service.acting_as(operator).runs.cancel_many(UnfinishedRuns(all=True), dry_run=True)
    ).cancelled == 6


async def test_the_client_cancels_what_runs_and_what_waits(waiting: tuple[House, list[str]]) -> None:
    """What runs ends soon after, as with a single cancel, and the answer names all of them."""
    house, runs = waiting
    service = house.service
    await service.jobs.create(JobDraft(name="long", command=Command(argv=("sleep", "600"))))
    with trio.fail_after(60):
        async with (
            service.events.watch() as news,
            connect(f"http://127.0.0.1:{house.rest}", token=house.token) as client,
        ):
            run = await client.runs.start("long")
            while (await service.runs.get(run.id)).state != "running":
                await anext(aiter(news))
            made_before = run.created_at + timedelta(seconds=1)
            with pytest.raises(Invalid):
                await client.runs.cancel_many(UnfinishedRuns())
            done = await client.runs.cancel_many(UnfinishedRuns(made_before=made_before))
            assert (done.cancelled, done.asked, set(done.run_ids)) == (6, 1, {*runs, run.id})
            while not (await service.runs.get(run.id)).finished:
                await anext(aiter(news))
    assert (await service.runs.get(run.id)).state == "cancelled"
