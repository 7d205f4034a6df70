"""The way down is short: whoever debugs a request steps through few functions until it is at the store."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from house_kit import House

import etlplus
from etlplus.errors import EtlplusError
from etlplus.jobs.model import JobDraft
from etlplus.service.local import Service
from etlplus.web.routes import ROUTES, Request, Route

HOPS_MAX = 4
PACKAGE = str(Path(etlplus.__file__).parent)
BODIES: dict[str, Any] = {
    "identity.bootstrap": {"token": "x", "name": "eve", "password": "long enough for anybody"},
    "identity.sign_in": {"name": "ada", "password": "correct horse battery"},
    "jobs.create": {"name": "new", "command": {"argv": ["true"]}},
    "jobs.check": {"name": "new", "command": {"argv": ["true"]}},
    "jobs.replace": {"name": "n", "command": {"argv": ["true"]}},
    "runs.start_many": {"runs": [{"job": "n"}, {"job": "n"}]},
    "runs.cancel_many": {"which": {"job": "n"}},
    "letters.replay": {"which": {"job": "n"}},
    "letters.discard": {"which": {"job": "n"}, "reason": "gone"},
    "limits.save": {"slots": 1},
    "schedules.preview": {"schedule": {"kind": "interval", "every_s": 60}},
}
STORELESS = {"system.health", "identity.me", "jobs.check", "schedules.preview", "identity.bootstrap"}
"""Routes that need nothing of the store, or are done before it is asked."""


class Watched:
    """A store that notes by how many functions each of its methods was reached."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.hops: list[int] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def called(*args: Any, **named: Any) -> Any:
            self.hops.append(len(way_down()) + 1)
            return method(*args, **named)

        return called


def way_down() -> list[str]:
    """The functions of ours between the route's own line in the table and its call of the store."""
    found: list[str] = []
    frame = sys._getframe(2)
    while frame is not None and "/web/routes/" not in frame.f_code.co_filename:
        if frame.f_code.co_filename.startswith(PACKAGE) and not frame.f_code.co_name.startswith("<"):
            found.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return found if frame is not None else []


@pytest.fixture
async def watched(house: House) -> tuple[Service, Watched]:
    """A service over a watched store, with a job and a run of it."""
    job = await house.service.jobs.create(msgspec.convert({"name": "n", "command": {"argv": ["true"]}}, JobDraft))
    await house.service.runs.start(job.id)
    store = Watched(house.service.house.store)
    return Service(replace(house.service.house, store=store)), store  # type: ignore[arg-type]  # it behaves like one


def asked(route: Route, run: str) -> Request:
    body = msgspec.convert(BODIES.get(route.name, {}), route.body) if route.body else None
    return Request({"job": "n", "run": run, "queue": "default", "limit": "tight"}, {}, body, version=1)


async def test_a_route_is_at_most_four_hops_from_the_store(watched: tuple[Service, Watched]) -> None:
    """Each function between the route and the store counts, and so does the call of the store."""
    service, store = watched
    run = (await service.runs.list()).items[0].id
    longest: dict[str, int] = {}
    for route in ROUTES:
        store.hops.clear()
        with suppress(EtlplusError):  # what is refused on the way has asked the store before
            await route.call(service, asked(route, run))
        longest[route.name] = max(store.hops, default=0)
    assert {name: hops for name, hops in longest.items() if hops > HOPS_MAX} == {}
    assert {name for name, hops in longest.items() if not hops} == STORELESS
