"""Dead letters over REST: found, replayed, edited, tried out, discarded."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import trio
from house_kit import House, open_house

from etlplus.client import connect
from etlplus.errors import Invalid
from etlplus.jobs.model import JobDraft, RetryPolicy
from etlplus.jobs.queues import QueueDraft
from etlplus.service.choosing import Letters

ABSENT = "no such file"


def draft(name: str, folder: Path) -> JobDraft:
    """A job that fails for good, since its source is not there."""
    sink = {"id": "out", "type": "sqlite", "input": "n", "path": str(folder / f"{name}.sqlite"), "table": "t"}
    sources = {"n": {"type": "csv", "path": str(folder / f"{name}.csv")}}
    plan = {"name": name, "sources": sources, "sinks": [sink], "params": {"n": 0, "m": 0}}
    return JobDraft(name=name, pipeline=plan, retry=RetryPolicy(attempts_max=1))


@pytest.fixture
async def failed(tmp_path: Path) -> AsyncGenerator[tuple[House, list[str]]]:
    """A house with two jobs: two runs of the first have failed, one of the second. Then the queue was paused."""
    async with open_house(tmp_path) as house:
        service, runs = house.service, []
        for name in ("a", "b"):
            (tmp_path / f"{name}.csv").write_text("n\n1\n")
            await service.jobs.create(draft(name, tmp_path))
            (tmp_path / f"{name}.csv").unlink()
        async with service.events.watch() as news:
            for name in ("a", "a", "b"):
                runs.append(await service.runs.start(name, {"n": len(runs)}))
            with trio.fail_after(60):
                while len((await service.letters.list()).items) < len(runs):
                    await anext(aiter(news))
        await service.queues.pause("default")
        yield house, [run.id for run in runs]


async def ask(house: House, method: str, path: str, body: Any = None) -> Any:
    return await house.http.request(method, f"/api/v1/dead-letters{path}", json=body, headers=house.signed_in)


async def test_letters_are_found_replayed_and_discarded(failed: tuple[House, list[str]]) -> None:
    """Each is resolved once; the list of the resolved says how."""
    house, (first, second, third) = failed
    listed = (await ask(house, "GET", "")).json()["items"]
    assert [letter["run"]["id"] for letter in listed] == [third, second, first]
    code = listed[0]["run"]["error"]["code"]
    for query, wanted in (("?job=a", 2), ("?queue=default", 3), (f"?code={code}&job=b", 1), ("?code=other", 0)):
        assert len((await ask(house, "GET", query)).json()["items"]) == wanted
    page = (await ask(house, "GET", "?limit=2")).json()
    assert len((await ask(house, "GET", f"?limit=2&cursor={page['next_cursor']}")).json()["items"]) == 1

    tried = (await ask(house, "POST", "/replay", {"which": {"job": "a"}, "edit": {"n": None}, "dry_run": True})).json()
    assert [(item["run_id"], item["params"], item["replay"]) for item in tried["items"]] == [
        (first, {}, None), (second, {}, None)
    ]  # fmt: skip
    made = (await ask(house, "POST", "/replay", {"which": {"run_ids": [first, "gone"]}, "edit": {"m": 7}})).json()
    replayed, missing = made["items"]
    assert replayed["replay"]["params"] == {"n": 0, "m": 7}
    assert replayed["replay"]["state"] == "queued"
    assert missing["problems"] == [
        "there is no such dead letter, or it was resolved before, or the other fields do not fit it"
    ]
    gone = (await ask(house, "POST", "/discard", {"which": {"all": True}, "reason": "old news", "limit": 1})).json()
    assert gone == {"run_ids": [second], "more": True}
    resolved = (await ask(house, "GET", "?resolved=true")).json()["items"]
    assert [(letter["run"]["id"], letter["resolution"], letter["reason"]) for letter in resolved] == [
        (second, "discarded", "old news"), (first, "replayed", None)
    ]  # fmt: skip
    assert resolved[1]["replay_id"] == replayed["replay"]["id"]
    assert [letter["run"]["id"] for letter in (await ask(house, "GET", "")).json()["items"]] == [third]


async def test_a_letter_that_cannot_be_replayed_stays(failed: tuple[House, list[str]]) -> None:
    """It is answered with the reason."""
    house, (_, _, third) = failed
    await house.service.queues.save(QueueDraft(name="closing"))
    await house.service.queues.drain("default")
    (item,) = (await ask(house, "POST", "/replay", {"which": {"job": "b"}})).json()["items"]
    assert (item["run_id"], item["replay"]) == (third, None)
    assert "draining" in item["problems"][0]
    assert len((await ask(house, "GET", "?job=b")).json()["items"]) == 1


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/replay", {"which": {}}, 422, "/which"),
    ("POST", "/replay", {"which": {"all": True, "job": "a"}}, 422, "/which/all"),
    ("POST", "/replay", {"which": {"colour": "red"}}, 422, "/which/colour"),
    ("POST", "/replay", {"which": {"code": "a\0b"}}, 422, "/which/code"),
    ("POST", "/replay", {"which": {"failed_from": "2030-01-01T00:00:00"}}, 422, "/which/failed_from"),
    ("POST", "/replay", {"which": {"all": True}, "limit": 0}, 422, "/limit"),
    ("POST", "/replay", {"which": {"job": "nowhere"}}, 404, ""),
    ("POST", "/discard", {"which": {"all": True}}, 422, "/reason"),
    ("POST", "/discard", {"which": {"all": True}, "reason": " "}, 422, "/reason"),
    ("POST", "/discard", {"which": {"all": True}, "reason": "x" * 1001}, 422, "/reason"),
    ("GET", "?failed_from=yesterday", None, 422, "/failed_from"),
    ("GET", "?resolved=maybe", None, 422, "/resolved"),
    ("GET", "?cursor=7", None, 422, "/cursor"),
]


async def test_nobody_means_all_by_saying_nothing(failed: tuple[House, list[str]]) -> None:
    """What is not understood is refused with its place, and every letter stays."""
    house, _ = failed
    for method, path, body, status, pointer in REFUSED:
        answer = await ask(house, method, path, body)
        assert answer.status_code == status, (path, body, answer.text)
        if status == 422:
            assert answer.json()["errors"][0].get("pointer", "") == pointer, (body, answer.text)
    assert len((await ask(house, "GET", "")).json()["items"]) == 3


async def test_the_client_resolves_letters_as_a_program_in_the_house_does(failed: tuple[House, list[str]]) -> None:
    """Both see and do the same."""
    house, (first, _, third) = failed
    async with connect(f"http://127.0.0.1:{house.rest}", token=house.token) as client:
        since = (await client.runs.get(first)).finished_at
        assert [letter.run.id for letter in (await client.letters.list(Letters(job="b", failed_from=since))).items] == [
            third
        ]
        assert (await client.letters.list(Letters(failed_before=since))).items == []
        tried = await client.letters.replay(Letters(run_ids=(third,)), edit={"n": None}, dry_run=True)
        assert tried == await house.service.letters.replay(Letters(run_ids=(third,)), edit={"n": None}, dry_run=True)
        assert (await client.letters.discard(Letters(run_ids=(third,)), reason="enough")).run_ids == [third]
        assert (await client.letters.list(resolved=True)).items[0].reason == "enough"
        with pytest.raises(Invalid):
            await client.letters.replay(Letters())


async def test_metrics_and_status_count_letters_and_what_waits(failed: tuple[House, list[str]]) -> None:
    """By the store, when somebody asks: who is woken by them sees that they are gone when somebody has seen to them."""
    house, (first, *others) = failed
    service = house.service

    async def metrics() -> dict[str, float]:
        text = (await house.http.get("/metrics", headers=house.signed_in)).text
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
        }

    found = await metrics()
    assert (found["etlplus_dead_letters"], found['etlplus_runs{state="failed"}']) == (3, 3)
    assert (
        found['etlplus_queue_waiting{queue="default"}'],
        found['etlplus_queue_oldest_seconds{queue="default"}'],
    ) == (0, 0)
    await ask(house, "POST", "/replay", {"which": {"run_ids": [first]}})
    await ask(house, "POST", "/discard", {"which": {"run_ids": others}, "reason": "old news"})
    found = await metrics()
    assert (found["etlplus_dead_letters"], found['etlplus_runs{state="failed"}']) == (0, 3)
    assert found['etlplus_queue_waiting{queue="default"}'] == 1
    assert found['etlplus_queue_oldest_seconds{queue="default"}'] > 0
    assert (await service.system.status()).dead_letters == 0
