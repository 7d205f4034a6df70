"""The page on the API shows every endpoint, and each of its examples is true of a real edge."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))
from page_http import Example, Reader, examples, read_json

import etlplus
from etlplus.jobs.model import JobDraft, RetryPolicy
from etlplus.service.local import Service
from etlplus.settings import Engine, Settings
from etlplus.settings.schema import Monitoring, MonitoringSocket, Server
from etlplus.web.routes import ROUTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Service]:
    """A new daemon in a folder with the page's files, in which one run has failed for good."""
    (tmp_path / "people.csv").write_text("name,born\nAda,1815\n")
    (tmp_path / "away.csv").write_text("name\n")
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        data_dir=str(tmp_path / "data"),
        engine=Engine(slots=1, spares=False),
        server=Server(port=0),
        monitoring=Monitoring(websocket=MonitoringSocket(port=0)),
    )
    async with etlplus.open_service(settings, edge=True) as service:
        await _fail(service, tmp_path)
        yield service


async def _fail(service: Service, folder: Path) -> None:
    sink = {"id": "table", "type": "sqlite", "input": "away", "path": "away.sqlite", "table": "away"}
    plan = {
        "name": "away",
        "sources": {"away": {"type": "csv", "path": "away.csv"}},
        "sinks": [sink],
        "params": {"day": None},
    }
    draft = JobDraft(name="away", pipeline=plan, retry=RetryPolicy(attempts_max=1), base_dir=str(folder))
    await service.jobs.create(draft)
    (folder / "away.csv").unlink()
    async with service.events.watch() as news:
        run = await service.runs.start("away", {"day": "2026-03-28"})
        with trio.fail_after(60):
            while not (await service.runs.get(run.id)).finished:
                await anext(aiter(news))
    (folder / "away.csv").write_text("name\n")


async def answered(http: httpx2.AsyncClient, example: Example, reader: Reader, token: str) -> httpx2.Response:
    """Send a request as a reader would who has put his own token and ids in."""
    headers = {name: reader.typed(value) for name, value in example.headers.items()}
    if example.body:
        headers["Content-Type"] = "application/json"
    if token and "Authorization" not in headers:
        headers["Authorization"] = f"Bearer {token}"
    return await http.request(
        example.method, reader.typed(example.path), content=reader.typed(example.body) or None, headers=headers
    )


@pytest.mark.slow
async def test_each_example_is_answered_as_the_page_shows(service: Service) -> None:
    """In the order in which a reader meets them, from the first sign-in on."""
    reader = Reader({"BOOTSTRAP-TOKEN": service.house.bootstrap.path.read_text().strip()})
    token = ""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{service.house.ports.rest}", timeout=60) as http:
        for example in examples(PAGE):
            answer = await answered(http, example, reader, token)
            asked = f"{example.method} {example.path}"
            assert answer.status_code == example.status, f"{asked}: {answer.text}"
            if example.answer.startswith(("{", "[")):
                assert reader.differences(read_json(example.answer), answer.json()) == [], asked
            else:
                assert all(line in answer.text for line in example.answer.split("\n")), asked
            if example.path == "/api/v1/auth/token" and example.status == 200:
                token = answer.json()["access_token"]


def test_every_endpoint_has_an_example() -> None:
    """No route is left out, and the page asks for none that is not there."""
    shown = [(example.method, example.path.partition("?")[0]) for example in examples(PAGE)]
    assert len(shown) == PAGE.count("```http") / 2
    patterns = {route.name: (route.method, re.sub(r"<\w+>", "[^/]+", route.path)) for route in ROUTES}
    for name, (method, pattern) in patterns.items():
        assert any(method == asked and re.fullmatch(pattern, path) for asked, path in shown), name


def test_the_tables_of_the_page_are_current() -> None:
    """Each permission stands with exactly the roles that have it, and each status is one that is given."""
    from etlplus.jobs.ticks import TickOutcome
    from etlplus.service.permissions import ROLES
    from etlplus.web.problems import STATUS

    rows = dict(re.findall(r"^\| `(\w+:\w+)` \| ([\w, ]+) \|$", PAGE, re.M))
    held = {permission for permissions in ROLES.values() for permission in permissions}
    assert rows.keys() == held
    for permission, roles in rows.items():
        assert set(roles.split(", ")) == {role for role, permissions in ROLES.items() if permission in permissions}
    assert [outcome for outcome in TickOutcome if f"`{outcome}`" not in PAGE] == []
    statuses = {int(status) for status in re.findall(r"^\| (\d{3}) \|", PAGE, re.M)}
    assert set(STATUS.values()) <= statuses
