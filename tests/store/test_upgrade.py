"""Nodes of the version before work on while the schema becomes newer: what they ask is answered as ever."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest
import trio

from etlplus.errors import Invalid
from etlplus.store.contract import AdminStore, LeaseStore, ReadStore, Store, WriteStore
from etlplus.store.opening import open_store
from etlplus.store.postgres import schema
from etlplus.store.postgres.bridge import Bridge, open_bridge

sys.path.insert(0, str(Path(__file__).parent))
from everything import live
from recording import Recording, load, record, replay

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.jsonl"))
BEFORE = load(RECORDINGS[-1])
"""What the program before asked, from its empty schema on: all of its calls, each statement with values and answer."""


@pytest.fixture
async def bridge(bare_database: Callable[[], str]) -> AsyncGenerator[Bridge]:
    """A database with the schema of the program before."""
    async with open_bridge(bare_database(), schema.SCHEMA) as opened:
        assert await opened.run(lambda db: schema.migrate(db, BEFORE.schema_version)) == BEFORE.schema_version
        yield opened


def test_the_recording_is_of_a_program_before_this_one() -> None:
    """It has hundreds of statements, some of each kind of unit; when a version is released, the next recording is due."""
    assert 0 < BEFORE.schema_version < len(schema.MIGRATIONS)
    assert len({step.query for unit in BEFORE.units for step in unit.steps}) > 150
    assert {unit.lane for unit in BEFORE.units} == {"beat", "claim", "settle", "general"}


class Watched:
    """A store, and the names of its calls that were made."""

    def __init__(self, store: Store, called: set[str]) -> None:
        self._store = store
        self._called = called

    def __getattr__(self, name: str) -> Any:
        self._called.add(name)
        return getattr(self._store, name)


async def test_what_is_recorded_makes_every_call_of_the_contract() -> None:
    """All but those that ask about the server itself, and so are answered otherwise each time."""
    called: set[str] = set()
    async with open_store("sqlite::memory:", rng=Random(1)) as store:
        await live(Watched(store, called))  # type: ignore[arg-type]
    halves = (WriteStore, ReadStore, LeaseStore, AdminStore)
    calls = {name for half in halves for name in vars(half) if not name.startswith("_")}
    assert calls - called == {"ping", "statistics", "horizon", "lanes", "tend", "distrust", "migrate", "time"}


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
async def test_what_the_program_before_asks_is_answered_as_ever(bridge: Bridge, share: float) -> None:
    """The schema becomes newer before, amid and after its work; its connections and prepared statements live on."""
    cut = int(share * len(BEFORE.units))
    assert await replay(bridge, BEFORE.units[:cut]) == []
    assert await bridge.run(schema.migrate) == len(schema.MIGRATIONS)
    assert await replay(bridge, BEFORE.units[cut:]) == []


@pytest.mark.slow
async def test_units_that_run_while_the_schema_becomes_newer_are_answered_as_ever(bridge: Bridge) -> None:
    """The program before does not stop for the migration: its units wait for a lock at most, and none is refused."""
    cut, halfway = len(BEFORE.units) // 2, trio.Event()
    different: list[str] = []

    async def work() -> None:
        different.extend(await replay(bridge, BEFORE.units[:cut]))
        halfway.set()
        different.extend(await replay(bridge, BEFORE.units[cut:]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        await halfway.wait()
        assert await bridge.run(schema.migrate) == len(schema.MIGRATIONS)
    assert different == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("ALTER TABLE run_live RENAME COLUMN rank_at TO ranks_at", "rank_at"),
        ("ALTER TABLE run_live ADD COLUMN more int NOT NULL", "more"),
        ("ALTER TABLE worker ALTER COLUMN slots TYPE text", "expected str"),
    ],
)
async def test_a_change_that_breaks_the_program_before_is_found(bridge: Bridge, change: str, says: str) -> None:
    """A column renamed, one that everybody must fill, another type: the replay tells of each."""
    await bridge.run(lambda db: db.execute(change))
    with pytest.raises((asyncpg.PostgresError, Invalid), match=says):
        await replay(bridge, BEFORE.units)


@pytest.mark.slow
async def test_an_answer_that_changes_is_found(bridge: Bridge) -> None:
    """What means something else than before is no error, and all the same a difference."""
    await bridge.run(lambda db: db.execute("UPDATE queue SET slots = 7"))
    found = await replay(bridge, BEFORE.units)
    assert found
    assert all("queue" in each for each in found)


@pytest.mark.slow
async def test_this_program_can_be_recorded_for_the_next(bare_database: Callable[[], str]) -> None:
    """A recording of it, replayed on another database, says the same: nothing in it is of a moment or a machine."""
    recording: Recording = await record(bare_database(), live)
    async with open_bridge(bare_database(), schema.SCHEMA) as second:
        assert recording.schema_version == await second.run(schema.migrate)
        assert await replay(second, recording.units) == []
