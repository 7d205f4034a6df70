"""Who sits the exam: SQLite in memory, SQLite in a file, and PostgreSQL, with a fresh database for each test."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from random import Random

import pytest

from etlplus.store.contract import Store
from etlplus.store.opening import open_store


@pytest.fixture(params=["memory", "file", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        make: Callable[[], str] = request.getfixturevalue("new_database")
        return make()
    return "sqlite::memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'store.sqlite'}"


@pytest.fixture(params=["file", "postgres"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that can be opened again."""
    if request.param == "postgres":
        make: Callable[[], str] = request.getfixturevalue("new_database")
        return make()
    return f"sqlite:{tmp_path / 'store.sqlite'}"


@pytest.fixture
async def store(url: str) -> AsyncGenerator[Store]:
    async with open_store(url, rng=Random(1)) as opened:
        yield opened
