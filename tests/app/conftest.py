"""Data, jobs and daemons for tests of the whole."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from etlplus.app.staff import staff
from etlplus.jobs.model import JobDraft, RetryPolicy
from etlplus.settings import Settings
from etlplus.store.opening import open_store
from etlplus.testing.stores import a_job, some_runs

sys.path.insert(0, str(Path(__file__).parent))  # for the kit that only these tests share

from backup_kit import settings_in
from daemon_kit import ROWS, Daemon
from nodes_kit import MINUTE, Nodes, OpenNodes


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV that takes a child more than a second to load."""
    path = tmp_path_factory.mktemp("data") / "numbers.csv"
    path.write_text("n,half,text\n" + "".join(f"{n},{n / 2},number {n}\n" for n in range(ROWS)))
    return path


@pytest.fixture
def copy_job(numbers: Path, tmp_path: Path) -> Callable[..., JobDraft]:
    """Makes drafts of jobs that copy the numbers into a table of their own."""

    def draft(name: str = "copy") -> JobDraft:
        sink = {
            "id": "out",
            "type": "sqlite",
            "input": "numbers",
            "path": str(tmp_path / f"{name}.sqlite"),
            "table": "t",
        }
        source = {"type": "csv", "path": str(numbers)}
        return JobDraft(
            name=name,
            pipeline={"name": name, "sources": {"numbers": source}, "sinks": [sink]},
            retry=RetryPolicy(base_s=0.1, jitter=0),
        )

    return draft


@pytest.fixture
async def filled(tmp_path: Path) -> Settings:
    """A data directory with a job and a run, and no service in it."""
    (tmp_path / "data").mkdir()
    async with open_store(f"sqlite:{tmp_path / 'data' / 'store.sqlite'}") as store:
        await some_runs(store, await a_job(store))
    return settings_in(tmp_path / "data")


@pytest.fixture
def daemons(tmp_path: Path) -> Generator[Callable[..., Daemon]]:
    """Starts daemons, one after the other, in one folder; ends those that are left."""
    started: list[Daemon] = []

    def start(*more: str) -> Daemon:
        started.append(Daemon(tmp_path, *more))
        return started[-1]

    yield start
    for daemon in started:
        daemon.close()


@pytest.fixture
def open_nodes(new_database: Callable[[], str], tmp_path: Path) -> OpenNodes:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Nodes]:
        async with AsyncExitStack() as stack:
            yield Nodes(tmp_path, new_database(), stack)

    return opened


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only bells make nodes look."""
    monkeypatch.setattr("etlplus.app.opening.staff", partial(staff, rhythm=MINUTE))
