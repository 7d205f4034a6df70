"""Schedules over REST: every kind comes back as it was sent, an impossible one stores nothing."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from house_kit import COMMAND, COMMAND_JSON, House

from etlplus.client import connect
from etlplus.jobs.model import JobDraft
from etlplus.jobs.queues import QueueDraft
from etlplus.jobs.schedules import CronSchedule, IntervalSchedule

KINDS: list[dict[str, Any]] = [
    {"kind": "cron", "cron": "0 2 * * mon-fri", "zone": "Europe/Berlin", "overlap": "skip"},
    {"kind": "interval", "every_s": 900},
    {"kind": "calendar", "unit": "month", "at": "02:30", "day": 31},
    {"kind": "once", "at": "2199-01-31T18:00:00Z"},
]

IMPOSSIBLE: dict[str, tuple[str, dict[str, Any]]] = {
    "field 3 (day of month), character 5": ("/schedule/cron", {"kind": "cron", "cron": "0 0 31 2 *"}),
    "did you mean Europe/Berlin": ("/schedule/zone", {"kind": "cron", "cron": "@daily", "zone": "Europe/Berln"}),
}


async def create(house: House, schedule: dict[str, Any]) -> Any:
    body = {"name": schedule["kind"], "command": COMMAND_JSON, "schedule": schedule}
    return await house.http.post("/api/v1/jobs", json=body, headers=house.signed_in)


async def test_a_schedule_of_every_kind_is_kept_and_an_impossible_one_is_not(house: House) -> None:
    """The first know when they are due next; of the others the problem names the option, the place and what to write."""
    for said, (pointer, schedule) in IMPOSSIBLE.items():
        answer = await create(house, schedule)
        assert answer.status_code == 422
        (problem,) = answer.json()["errors"]
        assert problem["pointer"] == pointer
        assert said in f"{problem['message']} {problem['suggestion']}"
    assert (await house.http.get("/api/v1/jobs", headers=house.signed_in)).json()["items"] == []
    for schedule in KINDS:
        created = await create(house, schedule)
        assert created.status_code == 201, created.text
        shown = (await house.http.get(f"/api/v1/jobs/{created.json()['id']}", headers=house.signed_in)).json()
        assert schedule.items() <= shown["schedule"].items()
        assert shown["next_at"] is not None


async def test_a_schedule_can_be_looked_at_before_it_is_stored(house: House) -> None:
    """Each nominal time comes with its reason; an impossible schedule is refused with its place."""
    asked = {"schedule": {"kind": "cron", "cron": "30 2 * * *", "zone": "Europe/Berlin"}, "count": 2}
    answer = await post(house, "/schedules/preview", asked | {"from": "2026-03-28T12:00:00Z"})
    assert answer.json()["description"] == "cron 30 2 * * * in Europe/Berlin"
    assert [(each["due"], each["at"], each["reason"]) for each in answer.json()["items"]] == [
        (True, "2026-03-29T01:00:00Z", "shifted_later"), (True, "2026-03-30T00:30:00Z", "normal")
    ]  # fmt: skip
    wrong: list[tuple[dict[str, Any], str]] = [
        *((asked | {"schedule": schedule}, pointer) for pointer, schedule in IMPOSSIBLE.values()),
        (asked | {"count": 0}, "/count"),
        (asked | {"count": 1001}, "/count"),
        (asked | {"from": "2026-03-28T12:00:00"}, "/from"),
    ]
    for body, pointer in wrong:
        refused = await post(house, "/schedules/preview", body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_the_schedule_of_a_job_is_looked_at_paused_and_resumed(house: House) -> None:
    """Paused, the job has no next run; resumed, it has one again. Its definition is otherwise as it was."""
    await create(house, {"kind": "interval", "every_s": 900})
    before = (await get(house, "/jobs/interval")).json()
    shown = (await get(house, "/jobs/interval/schedule/preview?count=1")).json()
    assert [each["at"] for each in shown["items"]] == [before["next_at"]]
    paused = await post(house, "/jobs/interval/schedule/pause", None)
    assert (paused.json()["paused"], paused.json()["next_at"], paused.headers["ETag"]) == (True, None, '"2"')
    assert (await post(house, "/jobs/interval/schedule/pause", None)).json() == paused.json()
    assert (await get(house, "/jobs/interval/schedule/preview")).json()["paused"] is True
    resumed = (await post(house, "/jobs/interval/schedule/resume", None)).json()
    assert resumed["next_at"] is not None
    changed = {"version", "updated_at", "next_at"}
    assert {key for key in before if before[key] != resumed[key]} == changed


async def test_a_job_without_a_schedule_has_none_to_look_at(house: House) -> None:
    """That is told apart from a job that is not there."""
    await house.http.post("/api/v1/jobs", json={"name": "x", "command": COMMAND_JSON}, headers=house.signed_in)
    codes = [(await get(house, f"/jobs/{job}/schedule/preview")).json()["code"] for job in ("x", "nowhere")]
    assert codes == ["no_schedule", "not_found"]
    assert (await get(house, "/jobs/x/schedule/preview?from=today")).json()["errors"][0]["pointer"] == "/from"


async def test_the_client_looks_at_schedules_as_a_program_in_the_house_does(house: House) -> None:
    """Both see the same times."""
    start = datetime(2030, 1, 1, tzinfo=UTC)
    await create(house, {"kind": "cron", "cron": "@daily"})
    async with connect(f"http://127.0.0.1:{house.rest}", token=house.token) as client:
        for facets in (client, house.service):
            shown = await facets.schedules.preview(CronSchedule(cron="@daily"), count=3, start=start)
            assert [each.at.day for each in shown.items] == [2, 3, 4]
            assert (await facets.schedules.upcoming("cron", count=3, start=start)).items == shown.items
            assert (await facets.schedules.pause("cron")).paused
            assert not (await facets.schedules.resume("cron")).paused


async def test_what_was_decided_about_nominal_times_is_listed_in_pages(house: House) -> None:
    """Newest first; the cursor of a page goes on with the next line, and one of nobody's is refused."""
    await house.service.queues.save(QueueDraft(name="still"))
    await house.service.queues.pause("still")
    store, now = house.service.house.store, house.service.house.now()
    schedule = IntervalSchedule(every_s=60.0, misfire="run_all", start_at=now - timedelta(hours=1))
    draft = JobDraft(name="minutes", command=COMMAND, queue="still", schedule=schedule)
    job = await store.save_job(draft, now=now - timedelta(seconds=200))
    await store.tick(now=now)
    whole = (await get(house, "/jobs/minutes/schedule/ticks")).json()["items"]
    assert {(line["outcome"], line["reason"]) for line in whole} == {("fired", "normal")}
    assert len(whole) == 4
    first = (await get(house, "/jobs/minutes/schedule/ticks?limit=3")).json()
    rest = (await house.http.get(
        f"/api/v1/jobs/{job.id}/schedule/ticks",
        params={"limit": 3, "cursor": first["next_cursor"]},
        headers=house.signed_in,
    )).json()  # fmt: skip
    assert (first["items"] + rest["items"], rest["next_cursor"]) == (whole, None)
    async with connect(f"http://127.0.0.1:{house.rest}", token=house.token) as client:
        page = await client.schedules.ticks("minutes", limit=3)
        assert page == await house.service.schedules.ticks("minutes", limit=3)
        assert len((await client.schedules.ticks("minutes", cursor=page.next_cursor)).items) == 1
    for cursor in ("x", "2030-01-01T00:00:00~fired", "2030-01-01T00:00:00Z~lost"):
        refused = await get(house, f"/jobs/minutes/schedule/ticks?cursor={cursor}")
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/cursor")


async def post(house: House, path: str, body: Any) -> Any:
    return await house.http.post(f"/api/v1{path}", json=body, headers=house.signed_in)


async def get(house: House, path: str) -> Any:
    return await house.http.get(f"/api/v1{path}", headers=house.signed_in)


def move_to_atlantis(folder: Path) -> None:
    """Rewrite what is stored of the jobs in a house's folder."""
    (file,) = folder.rglob("*.sqlite")
    with sqlite3.connect(file) as db:
        db.execute("UPDATE job SET doc = CAST(replace(CAST(doc AS TEXT), 'Europe/Berlin', 'Europe/Atlantis') AS BLOB)")
    db.close()


async def test_a_schedule_that_cannot_be_read_says_so_and_is_not_resumed_but_replaced(
    house: House, tmp_path: Path
) -> None:
    """The job is shown without it, paused, with the reason; a new definition takes the place of the old one."""
    created = await create(house, KINDS[0])
    move_to_atlantis(tmp_path)
    job = f"/api/v1/jobs/{created.json()['id']}"
    shown = (await house.http.get(job, headers=house.signed_in)).json()
    assert (shown["paused"], shown["schedule"], "Europe/Atlantis" in shown["fault"]) == (True, None, True)
    resumed = await house.http.post(f"{job}/schedule/resume", headers=house.signed_in)
    assert (resumed.status_code, resumed.json()["code"]) == (409, "job_fault")
    body = {"name": "cron", "command": COMMAND_JSON, "schedule": KINDS[0]}
    replaced = await house.http.put(job, json=body, headers=house.signed_in | {"If-Match": '"1"'})
    assert (replaced.status_code, replaced.json()["fault"], replaced.json()["version"]) == (200, None, 2)
