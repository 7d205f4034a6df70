"""Schedules over REST: every kind comes back as it was sent, an impossible one stores nothing."""

from __future__ import annotations

from typing import Any

from house_kit import House

PIPELINE = {
    "name": "people",
    "sources": {"people": {"type": "csv", "path": "people.csv"}},
    "sinks": [{"id": "table", "type": "sqlite", "input": "people", "path": "people.sqlite", "table": "people"}],
}

KINDS: list[dict[str, Any]] = [
    {"kind": "cron", "cron": "0 2 * * mon-fri", "zone": "Europe/Berlin", "overlap": "skip"},
    {"kind": "interval", "every_s": 900},
    {"kind": "calendar", "unit": "month", "at": "02:30", "day": 31},
    {"kind": "once", "at": "2199-01-31T18:00:00Z"},
]

IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "cron: field 3 (day of month), character 5": {"kind": "cron", "cron": "0 0 31 2 *"},
    "did you mean Europe/Berlin": {"kind": "cron", "cron": "@daily", "zone": "Europe/Berln"},
}


async def create(house: House, schedule: dict[str, Any]) -> Any:
    body = {"name": schedule["kind"], "pipeline": PIPELINE, "schedule": schedule}
    return await house.http.post("/api/v1/jobs", json=body, headers=house.signed_in)


async def test_a_schedule_of_every_kind_is_kept_and_an_impossible_one_is_not(house: House) -> None:
    """The first know when they are due next; of the others the problem names the option, the place and what to write."""
    for said, schedule in IMPOSSIBLE.items():
        answer = await create(house, schedule)
        assert answer.status_code == 422
        (problem,) = answer.json()["errors"]
        assert problem["pointer"] == "/schedule"
        assert said in problem["message"]
    assert (await house.http.get("/api/v1/jobs", headers=house.signed_in)).json()["items"] == []
    for schedule in KINDS:
        created = await create(house, schedule)
        assert created.status_code == 201, created.text
        shown = (await house.http.get(f"/api/v1/jobs/{created.json()['id']}", headers=house.signed_in)).json()
        assert schedule.items() <= shown["schedule"].items()
        assert shown["next_at"] is not None
