"""If-Match: nobody overwrites what he has not seen."""

from __future__ import annotations

from typing import Any

import pytest
from house_kit import COMMAND, COMMAND_JSON, House

from etlplus.cli.exits import Exit, exit_of
from etlplus.client import connect
from etlplus.errors import Conflict, Stale
from etlplus.jobs.model import JobDraft
from etlplus.web.routes import ROUTES


async def change(house: House, version: str | None, *, method: str = "PUT", priority: int = 0) -> Any:
    headers = house.signed_in | ({"If-Match": version} if version is not None else {})
    body = {"name": "n", "priority": priority, "command": COMMAND_JSON} if method == "PUT" else None
    return await house.http.request(method, "/api/v1/jobs/n", json=body, headers=headers)


async def test_of_two_who_change_a_job_the_second_is_told(house: House) -> None:
    """412 with a stable code; the first one's change stays, and the second may look and ask again."""
    made = await house.service.jobs.create(JobDraft(name="n", command=COMMAND))
    seen = (await house.http.get("/api/v1/jobs/n", headers=house.signed_in)).headers["ETag"]
    assert seen == f'"{made.version}"'
    first, second = await change(house, seen, priority=1), await change(house, seen, priority=2)
    assert (first.status_code, first.headers["ETag"]) == (200, '"2"')
    assert (second.status_code, second.json()["code"]) == (412, "stale_version")
    assert second.json()["detail"] == "the job is at version 2, not 1 any more"
    assert (await house.service.jobs.get("n")).priority == 1
    assert (await change(house, first.headers["ETag"], priority=2)).status_code == 200


async def test_a_change_that_names_no_version_is_refused(house: House) -> None:
    """428 without the header, 412 with what is no version of ours; nothing is changed or deleted."""
    await house.service.jobs.create(JobDraft(name="n", command=COMMAND))
    for method in ("PUT", "DELETE"):
        absent = await change(house, None, method=method)
        assert (absent.status_code, absent.json()["code"]) == (428, "precondition_required")
        for version in ("*", 'W/"1"', '"one"', '"0"', '"2"', ""):
            stale = await change(house, version, method=method)
            assert (stale.status_code, stale.json()["code"]) == (412, "stale_version"), (method, version)
    assert (await house.service.jobs.get("n")).version == 1


def test_every_change_of_a_versioned_thing_needs_its_version() -> None:
    """Whatever answers with an ETag to GET wants it back from who changes or deletes it."""
    tagged = {route.path for route in ROUTES if route.method == "GET" and route.etag}
    changing = [route for route in ROUTES if route.path in tagged and route.method in ("PUT", "DELETE")]
    assert len(changing) == 2
    assert all(route.versioned for route in changing)


async def test_the_client_and_the_command_line_know_a_stale_version(house: House) -> None:
    """The same kind of error as in process, which is a conflict to a command."""
    await house.service.jobs.create(JobDraft(name="n", command=COMMAND))
    async with connect(f"http://127.0.0.1:{house.rest}", token=house.token) as client:
        for facets in (client, house.service):
            with pytest.raises(Stale) as stale:
                await facets.jobs.delete("n", expected_version=7)
            assert (stale.value.reason, exit_of(stale.value)) == ("stale_version", Exit.CONFLICT)
            assert isinstance(stale.value, Conflict)
