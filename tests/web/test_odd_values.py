"""Every field of every body, with values that nobody means: each is accepted or refused, and none is our mistake."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from house_kit import House, open_house

from etlplus.jobs.kinds import Command
from etlplus.jobs.model import JobDraft
from etlplus.jobs.queues import LimitDraft
from etlplus.web import rest

SEED = 4
REQUESTS = 600
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1, 1.5, 1e12, 1e308, -1e308, 2**63, -(2**63), 10**30, "", "x", "x" * 3000, "\0", "\ud800",
    "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z", "2199-12-31T23:59:59-12:00",
    [], [1], [[]], {}, {"a": 1},
)  # fmt: skip

BOUNDS = {"start_at": "2026-01-01T00:00:00Z", "end_at": "2027-01-01T00:00:00Z", "pause_after_failures": 3}
LATE = {"zone": "Europe/Berlin", "misfire": "skip", "grace_s": 1, "catch_up_max": 3, "overlap": "skip", "jitter_s": 3}
CRON = {"kind": "cron", "cron": "0 2 * * *", "gap": "skip", "repeat": "both"} | BOUNDS | LATE
SCHEDULES = (
    CRON | {"exclude": {"weekdays": ["mon"], "dates": ["2026-01-01"]}},
    {"kind": "calendar", "every": 2, "unit": "month", "at": "02:00", "day": 31} | BOUNDS | LATE,
    {"kind": "interval", "every_s": 60} | BOUNDS | LATE,
    {"kind": "once", "at": "2030-01-01T00:00:00Z"} | LATE,
)
RULE = {"codes": ["x"], "retry": True, "attempts_max": 2, "base_s": 1, "cap_s": 3}
RETRY = {"kind": "linear", "attempts_max": 3, "base_s": 1, "cap_s": 2, "jitter": 0.1, "rules": [RULE]}
TIMES = {"timeout_s": 3, "queue_timeout_s": 3, "total_timeout_s": 3, "poison_after": 3, "memory_limit_bytes": 1 << 30}
JOB = {
    "name": "j",
    "command": {"argv": ["true"]},
    "queue": "default",
    "priority": 1,
    "labels": ["a"],
    "retry": RETRY,
} | TIMES
UNIQUE = {"period_s": 3, "states": ["queued", "scheduled"], "on_conflict": "replace"}
RUN = {
    "params": {"c": "a"}, "run_at": "2150-01-01T00:00:00Z", "priority": 3, "unique_key": "k", "unique": UNIQUE,
    "interval": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
}  # fmt: skip
WHICH = {"run_ids": ["x"], "job": "c", "queue": "default", "code": "x", "failed_from": "2026-01-01T00:00:00Z"}

BODIES: tuple[tuple[str, str, Any], ...] = (
    *(("POST", "jobs", JOB | {"schedule": schedule}) for schedule in SCHEDULES),
    ("POST", "jobs", JOB | {"limit": {"name": "w", "by": "c"}}),
    ("POST", "jobs/check", JOB | {"schedule": CRON}),
    *(("POST", "schedules/preview", {"schedule": schedule, "count": 3}) for schedule in SCHEDULES),
    ("POST", "jobs/c/runs", RUN),
    ("POST", "runs", {"runs": [RUN | {"job": "c"}]}),
    ("POST", "dead-letters/replay", {"which": WHICH, "edit": {"a": 1}, "dry_run": True, "limit": 3}),
    ("POST", "dead-letters/discard", {"which": WHICH, "reason": "x", "limit": 3}),
    ("PUT", "queues/q", {"slots": 3}),
    ("PUT", "limits/l", {"slots": 3, "rate": {"count": 3, "per_s": 3, "burst": 2}}),
)
"""Requests that would be accepted."""


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*at, key))


def spoiled(body: Any, at: tuple[Any, ...], value: Any) -> Any:
    """The body with another value at that place."""
    if not at:
        return value
    body = copy.deepcopy(body)
    inner = body
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return body


async def still(folder: Path, house: House) -> None:
    """Nothing is carried; there is a job, and a limit."""
    await house.service.queues.pause("default")
    await house.service.limits.save(LimitDraft(name="w", slots=2))
    await house.service.jobs.create(JobDraft(name="c", command=Command(argv=("true",)), base_dir=str(folder)))


@pytest.mark.slow
async def test_no_value_of_any_field_is_our_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample of all fields with all odd values; what is refused is refused as a problem, and what was made can be looked at."""
    monkeypatch.setattr(rest, "BURST", 10 * REQUESTS)
    rng = Random(SEED)
    cases = [(*request, at, value) for request in BODIES for at in places(request[2]) for value in ODD]
    async with open_house(tmp_path, body_max_bytes=100_000) as house:
        await still(tmp_path, house)
        headers = house.signed_in | {"Content-Type": "application/json"}
        for number, (method, path, body, at, value) in enumerate(rng.sample(cases, REQUESTS)):
            body = body | ({"name": f"j{number}"} if path == "jobs" else {})
            said = json.dumps(spoiled(body, at, value)).encode()
            answer = await house.http.request(method, f"/api/v1/{path}", content=said, headers=headers)
            refused = answer.status_code >= 400
            assert answer.status_code < 500, (path, at, value, answer.text)
            assert answer.status_code != 429
            assert not refused or answer.headers["Content-Type"] == "application/problem+json"
            if path == "jobs" and not refused:
                seen = await house.http.get(f"/api/v1/jobs/{answer.json()['id']}/schedule/preview", headers=headers)
                assert seen.status_code in (200, 404), (at, value, seen.text)
            if path == "jobs/c/runs" and not refused:
                why = await house.http.get(f"/api/v1/runs/{answer.json()['id']}/why", headers=headers)
                assert why.status_code == 200, (at, value, why.text)
