"""Queues and limits over REST: what they allow is stored, and what cannot be is refused with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from house_kit import COMMAND_JSON, House

from etlplus.client import connect


async def ask(house: House, method: str, path: str, body: Any = None) -> Any:
    return await house.http.request(method, f"/api/v1{path}", json=body, headers=house.signed_in)


async def test_a_queue_is_made_changed_paused_opened_drained_and_forgotten(house: House) -> None:
    """Each answers with the queue as it is then; the list shows it with what waits in it."""
    made = await ask(house, "PUT", "/queues/nightly", {"slots": 4})
    assert (made.status_code, made.json()["slots"], made.json()["mode"]) == (200, 4, "open")
    assert (await ask(house, "PUT", "/queues/nightly", {})).json()["slots"] is None
    for word, mode in (("pause", "paused"), ("drain", "draining"), ("resume", "open"), ("pause", "paused")):
        assert (await ask(house, "POST", f"/queues/nightly/{word}")).json()["mode"] == mode
    listed = (await ask(house, "GET", "/queues")).json()["items"]
    assert [counts["queue"]["name"] for counts in listed] == ["default", "nightly"]
    one = (await ask(house, "GET", "/queues/nightly")).json()
    assert (one, one["queued"]) == (listed[1], 0)
    assert (await ask(house, "DELETE", "/queues/nightly")).status_code == 204
    assert (await ask(house, "GET", "/queues/nightly")).status_code == 404


async def test_a_paused_queue_keeps_its_runs_and_a_draining_one_takes_none(house: House, tmp_path: Path) -> None:
    """Paused, a run waits; draining, a wish for one is refused and nothing is stored."""
    job = {"name": "people", "command": COMMAND_JSON, "base_dir": str(tmp_path)}
    (tmp_path / "people.csv").write_text("name\nAda\n")
    await ask(house, "POST", "/queues/default/pause")
    assert (await ask(house, "POST", "/jobs", job)).status_code == 201
    started = await ask(house, "POST", "/jobs/people/runs", {})
    assert started.json()["state"] == "queued"
    assert (await ask(house, "GET", "/queues/default")).json()["queued"] == 1
    await ask(house, "POST", "/queues/default/drain")
    refused = await ask(house, "POST", "/jobs/people/runs", {})
    assert (refused.status_code, refused.json()["code"]) == (422, "queue_draining")
    assert (await ask(house, "DELETE", "/queues/default")).json()["code"] == "queue_in_use"


async def test_a_limit_is_made_changed_and_forgotten(house: House) -> None:
    """The one over all runs is called *."""
    assert (await ask(house, "PUT", "/limits/warehouse", {"slots": 2})).json()["slots"] == 2
    assert (await ask(house, "PUT", "/limits/*", {"slots": 9})).json()["name"] == "*"
    assert (await ask(house, "PUT", "/limits/warehouse", {"slots": 3})).json()["slots"] == 3
    listed = (await ask(house, "GET", "/limits")).json()["items"]
    assert {limit["name"]: limit["slots"] for limit in listed} == {"*": 9, "warehouse": 3}
    paced = await ask(house, "PUT", "/limits/*", {"rate": {"count": 9, "per_s": 60}})
    assert (paced.json()["slots"], paced.json()["rate"]) == (None, {"count": 9, "per_s": 60, "burst": None})
    job = {"name": "people", "command": COMMAND_JSON, "limit": {"name": "warehouse", "by": "day"}}
    assert (await ask(house, "POST", "/jobs", job)).status_code == 201
    assert (await ask(house, "DELETE", "/limits/warehouse")).json()["code"] == "limit_in_use"
    assert (await ask(house, "DELETE", "/limits/%2A")).status_code == 204
    without_key = await ask(house, "POST", "/jobs/people/runs", {})
    assert without_key.json()["errors"][0]["pointer"] == "/params/day"


REFUSED: list[tuple[str, str, Any, int, str | None]] = [
    ("PUT", "/queues/nightly", {"slots": 0}, 422, "/slots"),
    ("PUT", "/queues/nightly", {"slots": "many"}, 422, "/slots"),
    ("PUT", "/queues/%20nightly", {"slots": 1}, 422, "/name"),
    ("PUT", "/queues/" + "n" * 201, {"slots": 1}, 422, "/name"),
    ("PUT", "/limits/warehouse", {}, 422, ""),
    ("PUT", "/limits/warehouse", {"slots": 10_001}, 422, "/slots"),
    ("PUT", "/limits/warehouse", {"rate": {"count": 0}}, 422, "/rate/count"),
    ("PUT", "/limits/warehouse", {"rate": {"count": 1, "per_s": 0.1}}, 422, "/rate/per_s"),
    ("PUT", "/limits/warehouse", {"rate": {"count": 1, "burst": -1}}, 422, "/rate/burst"),
    ("PUT", "/limits/warehouse", {"rate": {"count": 1, "per": "1m"}}, 422, "/rate/per"),
    ("PUT", "/queues/a%00b", {}, 404, None),
    ("POST", "/queues/nowhere/pause", None, 404, None),
    ("DELETE", "/queues/nowhere", None, 404, None),
    ("DELETE", "/limits/nowhere", None, 404, None),
    ("POST", "/jobs", {"name": "x", "command": COMMAND_JSON, "queue": "nowhere"}, 422, "/queue"),
    ("POST", "/jobs", {"name": "x", "command": COMMAND_JSON, "limit": {"name": "nowhere"}}, 422, "/limit/name"),
    ("POST", "/jobs", {"name": "x", "command": COMMAND_JSON, "priority": -1}, 422, "/priority"),
    ("POST", "/jobs", {"name": "x", "command": COMMAND_JSON, "labels": ["a,b"]}, 422, "/labels/0"),
]


async def test_what_cannot_be_is_refused_with_its_place_and_nothing_is_stored(house: House) -> None:
    """The problem names the field; queues, limits and jobs are as before."""
    for method, path, body, status, pointer in REFUSED:
        answer = await ask(house, method, path, body)
        assert answer.status_code == status, answer.text
        if pointer is not None:
            assert answer.json()["errors"][0].get("pointer", "") == pointer
        listed = (await ask(house, "GET", "/queues")).json()["items"]
        assert [counts["queue"]["name"] for counts in listed] == ["default"]
        assert (await ask(house, "GET", "/limits")).json()["items"] == []
        assert (await ask(house, "GET", "/jobs")).json()["items"] == []


async def test_a_draft_made_in_a_program_is_checked_like_one_that_came_over_the_wire(house: House) -> None:
    """The same rule refuses it before anything is stored."""
    from etlplus.errors import Invalid
    from etlplus.jobs.queues import QueueDraft

    with pytest.raises(Invalid) as refused:
        await house.service.queues.save(QueueDraft(name="x", slots=-1))
    assert refused.value.problems[0].pointer == "/slots"
    assert len((await house.service.queues.list()).items) == 1


async def test_a_client_that_asks_too_often_waits_for_its_turn(house: House) -> None:
    """More requests than the daemon takes at once are all answered in the end."""
    answered = 0
    async with connect(f"http://127.0.0.1:{house.rest}", token=house.token) as client:

        async def look() -> None:
            nonlocal answered
            for _ in range(50):
                await client.limits.list()
                answered += 1

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(look)
        assert answered == 400
