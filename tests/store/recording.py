"""
What a program of an earlier version asks of PostgreSQL, kept to be asked again: each statement, its values and the answer.

``python tests/store/recording.py FILE`` records this program. Replayed on a later schema, the recording says whether that
program goes on working there. It knows nothing of the store: only of statements.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import trio

from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.postgres import schema
from etlplus.store.postgres.bridge import Bridge, Db, Lane, open_bridge

EPOCH = datetime(2026, 5, 4, 3, tzinfo=UTC)
"""Since when the default queue is said to be there, which otherwise would be since the schema was made."""


class Step(msgspec.Struct):
    """One statement, and what came of it; times and bytes are tagged."""

    how: str
    query: str
    values: list[Any]
    answer: Any


class Unit(msgspec.Struct):
    """The statements of one unit of work."""

    lane: str
    atomic: bool
    steps: list[Step]


class Recording(msgspec.Struct):
    """All that a program of this schema version asked, in order."""

    schema_version: int
    units: list[Unit]


def plain(value: Any) -> Any:
    """A value as JSON can hold it; an answer of several rows in no order, since not every query asks for one."""
    if isinstance(value, datetime):
        return {"at": value.isoformat()}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return [plain(each) for each in value]


def unordered(answer: Any) -> Any:
    return sorted(map(msgspec.json.encode, answer)) if isinstance(answer, list) else answer


def lively(value: Any) -> Any:
    if isinstance(value, dict):
        return datetime.fromisoformat(value["at"]) if "at" in value else bytes.fromhex(value["bytes"])
    return [lively(each) for each in value] if isinstance(value, list) else value


ASKING = frozenset({"execute", "fetch", "fetchrow", "fetchval"})
"""Ways to ask the server; whatever else a connection does is its own affair."""


class Recorder:
    """A connection that keeps what goes through it."""

    def __init__(self, db: Db, steps: list[Step]) -> None:
        self._db = db
        self._steps = steps

    def __getattr__(self, how: str) -> Any:
        if how not in ASKING:
            return getattr(self._db, how)

        async def ask(query: str, *values: Any) -> Any:
            answer = await getattr(self._db, how)(query, *values)
            self._steps.append(Step(how, query, plain(values), plain(answer)))
            return answer

        return ask


async def record(address: str, life: Callable[[Store], Awaitable[None]]) -> Recording:
    """What a store asks while it lives, from an empty database on."""
    units: list[Unit] = []
    carry = Bridge.run

    async def run(self: Bridge, unit: Callable[[Any], Any], lane: Lane = Lane.GENERAL, *, atomic: bool = True) -> Any:
        steps: list[Step] = []

        async def recorded(db: Db) -> Any:
            steps.clear()  # it may be tried again
            return await unit(Recorder(db, steps))

        result = await carry(self, recorded, lane, atomic=atomic)
        units.append(Unit(lane.value, atomic, steps))
        return result

    async with open_store(address, rng=Random(1)) as store, open_bridge(address, schema.SCHEMA) as bridge:
        version = (await store.statistics()).schema_version
        Bridge.run = run  # type: ignore[method-assign]
        try:
            await bridge.run(lambda db: db.execute("UPDATE queue SET created_at = $1, updated_at = $1", EPOCH))
            await life(store)
        finally:
            Bridge.run = carry  # type: ignore[method-assign]
    return Recording(version, units)


async def replay(bridge: Bridge, units: list[Unit]) -> list[str]:
    """Ask all of it again; what was answered otherwise than then."""
    different: list[str] = []
    for unit in units:
        different += await bridge.run(partial(_replay_unit, unit), Lane(unit.lane), atomic=unit.atomic)
    return different


async def _replay_unit(unit: Unit, db: Db) -> list[str]:
    different: list[str] = []
    for step in unit.steps:
        answer = plain(await getattr(db, step.how)(step.query, *map(lively, step.values)))
        if unordered(answer) != unordered(step.answer):
            different.append(f"{step.query}\n  said {step.answer}\n  says {answer}")
    return different


def load(file: Path) -> Recording:
    """A file has the version in its first line, and a unit in each further one."""
    version, _, units = file.read_bytes().partition(b"\n")
    return Recording(int(version), msgspec.json.Decoder(Unit).decode_lines(units))


def save(recording: Recording, file: Path) -> None:
    file.write_bytes(b"%d\n" % recording.schema_version + msgspec.json.Encoder().encode_lines(recording.units))


async def _record() -> Recording:
    sys.path.insert(0, str(Path(__file__).parent))
    from everything import live

    from etlplus.testing.servers import private_postgres

    with private_postgres() as address:
        return await record(address, live)


if __name__ == "__main__":
    save(trio.run(_record), Path(sys.argv[1]))
