"""Schemas: one made at once equals one made step by step, and what an older program stored is there afterwards."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from etlplus.errors import Misconfigured
from etlplus.jobs.letters import LetterFilter
from etlplus.jobs.model import RunState
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.postgres import schema as postgres
from etlplus.store.postgres.bridge import Bridge, open_bridge
from etlplus.store.postgres.sql import admin
from etlplus.store.sqlite import schema as sqlite
from etlplus.testing.stores import DONE, a_worker, at, told

HANG_S = 40.0
"""Far more than anything here takes: who is still waiting then would wait for ever."""

CATALOG = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            (SELECT collname FROM pg_collation WHERE oid = a.attcollation),
            pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef AS d ON (d.adrelid, d.adnum) = (c.oid, a.attnum)
        WHERE c.relnamespace = 'etlplus'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY 1, 2
    """,
    "tables": """
        SELECT relname, relkind, reloptions, pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid)
        FROM pg_class WHERE relnamespace = 'etlplus'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1
    """,
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'etlplus' ORDER BY 1, 2",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'etlplus'::regnamespace AND contype <> 'n' ORDER BY 1, 2
    """,
    "queues": "SELECT name, slots, mode FROM queue ORDER BY name",
}


@pytest.mark.parametrize("body", [postgres, sqlite])
def test_the_numbers_of_migrations_have_no_gap(body: Any) -> None:
    """A schema's version says how many it has had, so one that came late with an early number would be left out for ever."""
    assert [int(name[:4]) for name in body.NAMES] == list(range(1, len(body.NAMES) + 1))


async def catalog(bridge: Bridge) -> dict[str, list[tuple[Any, ...]]]:
    async def unit(db: Any) -> dict[str, list[tuple[Any, ...]]]:
        return {name: [tuple(row) for row in await db.fetch(query)] for name, query in CATALOG.items()}

    return await bridge.run(unit)


async def test_postgres_made_at_once_equals_postgres_made_step_by_step(bare_database: Callable[[], str]) -> None:
    """Every table, column, index, constraint and option."""
    async with open_bridge(bare_database(), "etlplus") as whole, open_bridge(bare_database(), "etlplus") as stepwise:
        assert await whole.run(postgres.migrate) == len(postgres.MIGRATIONS)
        for version in range(1, len(postgres.MIGRATIONS) + 1):
            assert await stepwise.run(lambda db, version=version: postgres.migrate(db, version)) == version
        assert await catalog(stepwise) == await catalog(whole)


async def test_nodes_that_start_together_migrate_once(bare_database: Callable[[], str]) -> None:
    """They take turns under a lock; each finds the schema as it should be."""
    address = bare_database()
    versions: list[int] = []

    async def start() -> None:
        async with open_store(address) as store:
            versions.append((await store.statistics()).schema_version)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(start)
    assert versions == [len(postgres.MIGRATIONS)] * 3


WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


async def test_of_several_who_migrate_at_once_one_says_what_he_did(bare_database: Callable[[], str]) -> None:
    """Those who waited for him find nothing to do."""
    address, held, told = bare_database(), trio.Event(), list[int]()

    async def hold(db: Any) -> None:
        await db.execute(admin.LOCK_MIGRATIONS)
        held.set()
        while await db.fetchval(WAITING) < 2:
            pass

    async with open_bridge(address, "etlplus") as bridge, trio.open_nursery() as nursery:

        async def migrate() -> None:
            told.append(len((await bridge.run(postgres.migrate_and_tell)).lacks))

        nursery.start_soon(bridge.run, hold)
        await held.wait()
        nursery.start_soon(migrate)
        nursery.start_soon(migrate)
    assert told == [len(postgres.MIGRATIONS), 0]


def test_of_two_who_open_a_file_at_once_one_migrates_it(tmp_path: Path) -> None:
    """The other comes while it is done, waits, and finds the schema as it should be."""
    amid, waits = threading.Event(), threading.Event()
    one, other = (
        sqlite3.connect(tmp_path / "s", isolation_level=None, timeout=HANG_S, check_same_thread=False) for _ in range(2)
    )

    def pause(statement: str) -> None:
        if statement.startswith("CREATE INDEX"):
            amid.set()
            assert waits.wait(HANG_S)

    one.set_trace_callback(pause)
    other.set_trace_callback(lambda statement: waits.set() if statement.startswith("BEGIN") else None)
    migrating = threading.Thread(target=sqlite.migrate, args=[one])
    migrating.start()
    assert amid.wait(HANG_S)
    assert sqlite.migrate(other) == len(sqlite.MIGRATIONS)
    migrating.join()
    assert described(one) == described(other)
    one.close()
    other.close()


def described(db: sqlite3.Connection) -> dict[str, Any]:
    """Every table with its columns in any order, every index with its text."""
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    tables = {
        name: sorted(tuple(row[1:]) for row in db.execute(f"SELECT * FROM pragma_table_info('{name}')"))
        for name in names
    }
    indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
    return {
        "tables": tables,
        "indexes": indexes.fetchall(),
        "queues": db.execute("SELECT name, mode FROM queue").fetchall(),
    }


def test_sqlite_made_at_once_equals_sqlite_made_step_by_step() -> None:
    """Every table, column and index."""
    whole, stepwise = (sqlite3.connect(":memory:", isolation_level=None) for _ in range(2))
    assert sqlite.migrate(whole) == len(sqlite.MIGRATIONS)
    for version in range(1, len(sqlite.MIGRATIONS) + 1):
        assert sqlite.migrate(stepwise, version) == version
    assert described(stepwise) == described(whole)
    whole.close()
    stepwise.close()


JOB = (
    '{"id":"j","name":"job","version":1,"pipeline":{},"queue":"old","created_at":"2026-05-04T03:02:01Z",'
    '"updated_at":"2026-05-04T03:02:01Z"}'
)


def run_doc(run_id: str, state: str, extra: str = "") -> str:
    return (
        f'{{"id":"{run_id}","job_id":"j","job_name":"job","job_version":1,"state":"{state}","queue":"old","priority":0,'
        f'"run_at":"2026-05-04T03:02:01Z","created_at":"2026-05-04T03:02:01Z"{extra}}}'
    )


RUNNING = ',"attempt":1,"worker_id":"w","started_at":"2026-05-04T03:02:01Z","version":2'
FAILED = (
    ',"attempt":1,"attempts_spent":1,"version":3,"finished_at":"2026-05-04T03:02:02Z",'
    '"error":{"code":"data_error","message":"bad"}'
)
RUNS = {"a": run_doc("a", "queued"), "b": run_doc("b", "running", RUNNING), "c": run_doc("c", "failed", FAILED)}


def event_doc(run_id: str, version: int, kind: str, state: str, attempt: int) -> str:
    return (
        f'{{"run_id":"{run_id}","version":{version},"at":"2026-05-04T03:02:01Z","kind":"{kind}","state":"{state}",'
        f'"attempt":{attempt},"detail":{{}}}}'
    )


EVENTS = [
    ("a", 1, event_doc("a", 1, "enqueued", "queued", 0)),
    ("b", 1, event_doc("b", 1, "enqueued", "queued", 0)),
    ("b", 2, event_doc("b", 2, "claimed", "running", 1)),
    ("c", 1, event_doc("c", 1, "enqueued", "queued", 0)),
    ("c", 2, event_doc("c", 2, "claimed", "running", 1)),
    ("c", 3, event_doc("c", 3, "failed", "failed", 1)),
]
BEGUN = '{"run_id":"b","number":1,"worker_id":"w","started_at":"2026-05-04T03:02:01Z"}'
ENDED = (
    '{"run_id":"c","number":1,"worker_id":"w","started_at":"2026-05-04T03:02:01Z","finished_at":"2026-05-04T03:02:02Z",'
    '"ended":"failed","error":{"code":"data_error","message":"bad"}}'
)


async def everything_is_there(store: Store) -> None:
    """What the first version stored goes on: the queued run, the one in hand, and the one that failed."""
    assert [each.queue.name for each in await store.queues()] == ["default", "old"]
    assert [run.id for run in await store.runs()] == ["c", "b", "a"]
    assert {state: n for state, n in (await store.counts()).runs.items() if n} == {
        "queued": 1,
        "running": 1,
        "failed": 1,
    }
    assert [event.kind for event in await store.events("c")] == ["enqueued", "claimed", "failed"]
    assert [attempt.ended for attempt in await store.attempts("c")] == ["failed"]
    (in_hand,) = await store.attempts("b")
    assert (in_hand.number, in_hand.worker_id, in_hand.ended) == (1, "w", None)
    assert abs((in_hand.started_at - at(0)).total_seconds()) < 0.01
    assert [letter.run.id for letter in await store.dead_letters(LetterFilter(code="data_error"))] == ["c"]
    await a_worker(store, "w")
    (claimed,) = (await store.claim("w", limit=9, now=at(1))).claimed
    assert claimed.run.id == "a"
    carried = type(claimed)(await store.run("b"), claimed.job)
    for each in (claimed, carried):
        assert (await told(store, each, DONE)).applied
    assert [event.version for event in await store.events("b")] == [1, 2, 3]
    assert [event.version for event in await store.events("a")] == [1, 2, 3]
    assert (await store.run("b")).state is RunState.SUCCEEDED


async def test_sqlite_takes_over_what_the_first_version_stored(tmp_path: Path) -> None:
    """A file of version 1 is opened, and nothing of it is lost."""
    db = sqlite3.connect(tmp_path / "s", isolation_level=None)
    sqlite.migrate(db, 1)
    db.execute("INSERT INTO job VALUES ('j', 'job', NULL, ?)", (JOB.encode(),))
    db.execute("INSERT INTO job_version VALUES ('j', 1, ?)", (JOB.encode(),))
    for run_id, doc in RUNS.items():
        state = doc.split('"state":"')[1].split('"')[0]
        db.execute("INSERT INTO run VALUES (?, 'j', ?, 'old', ?)", (run_id, state, doc.encode()))
        db.execute("INSERT INTO run_count VALUES (?, 1)", (state,))
        if state != "failed":
            held = (run_id, state, "w" if state == "running" else None, int(state == "running"), f"key-{run_id}")
            db.execute("INSERT INTO run_live VALUES (?, 'j', ?, 1777863721.0, 1777863721.0, ?, ?, 0, ?)", held)
    db.executemany(
        "INSERT INTO run_event VALUES (?, ?, ?)", [(run_id, version, doc.encode()) for run_id, version, doc in EVENTS]
    )
    db.executemany("INSERT INTO attempt VALUES (?, 1, ?)", [("b", BEGUN.encode()), ("c", ENDED.encode())])
    db.close()
    async with open_store(f"sqlite:{tmp_path / 's'}") as store:
        await everything_is_there(store)


async def test_postgres_takes_over_what_the_first_version_stored(bare_database: Callable[[], str]) -> None:
    """A database of version 1 is opened, and nothing of it is lost."""
    address = bare_database()

    async def fill(db: Any) -> None:
        await postgres.migrate(db, 1)
        await db.execute("INSERT INTO job VALUES ('j', 'job', NULL, $1)", JOB)
        await db.execute("INSERT INTO job_version VALUES ('j', 1, $1)", JOB)
        live = "INSERT INTO run_live VALUES ($1, 'j', $2, 'old', $3, $3, $4, $5, false, $6, $7)"
        await db.execute(live, "a", "queued", at(0), None, 0, "key-a", RUNS["a"])
        await db.execute(live, "b", "running", at(0), "w", 1, "key-b", RUNS["b"])
        await db.execute("INSERT INTO run VALUES ('c', 'j', 'failed', 'old', $1)", RUNS["c"])
        await db.execute("INSERT INTO tally VALUES ('failed', 0, 1)")
        for event in EVENTS:
            await db.execute("INSERT INTO run_event VALUES ($1, $2, $3)", *event)
        await db.execute("INSERT INTO attempt VALUES ('b', 1, $1), ('c', 1, $2)", BEGUN, ENDED)

    async with open_bridge(address, "etlplus") as bridge:
        await bridge.run(fill)
    async with open_store(address) as store:
        await everything_is_there(store)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_newer_schema_is_left_alone(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A store that a newer program made is refused."""
    if kind == "sqlite":
        url = f"sqlite:{tmp_path / 's'}"
        db = sqlite3.connect(tmp_path / "s")
        db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        url = request.getfixturevalue("bare_database")()
        async with open_bridge(url, "etlplus") as bridge:
            await bridge.run(postgres.migrate)
            await bridge.run(lambda db: db.execute("INSERT INTO schema_version VALUES (99)"))
    with pytest.raises(Misconfigured, match="newer"):
        async with open_store(url):
            pass
