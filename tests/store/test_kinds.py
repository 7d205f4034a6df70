"""The two kinds of runs, those that call functions and the others: a claim of one passes by all that is of the other."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from etlplus.jobs.queues import LimitDraft, LimitUse
from etlplus.jobs.rates import Rate
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.postgres.bridge import Lane, open_bridge
from etlplus.store.postgres.sql import claims
from etlplus.store.sqlite import claiming, schema
from etlplus.testing.stores import NOW, a_claim, a_job, a_worker, at, some_runs

sys.path.insert(0, str(Path(__file__).parent))
from test_plans import carried_out, nodes, slow_ones

LANES = 20_000
"""With a key, of runs that need a process: a third of them are open, and a third wait for a token."""
SOON_S = 600.0
"""Seconds after ``NOW``, when the tokens of some hundred of these have come."""
INDEXES = {"lane_plain", "lane_open", "lane_ready"}
ON_POSTGRES = """
    INSERT INTO lane (queue, labels, limit_name, limit_key, open, opened_at, ready_at)
    SELECT 'default', '', 'k', 'k/' || n, n % 3 = 0, $1, CASE WHEN n % 3 = 1 THEN $1::timestamptz + n * interval '1 s' END
    FROM generate_series(1, $2::int) AS n
"""
ON_SQLITE = """
    INSERT INTO lane (queue, labels, limit_name, limit_key, open, opened_at, ready_at)
    SELECT 'default', '', 'k', 'k/' || value, value % 3 = 0, ?, iif(value % 3 = 1, ? + value, NULL)
    FROM (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?) SELECT value FROM n)
"""


async def test_a_claim_is_told_of_the_tokens_of_its_own_kind(store: Store) -> None:
    """When to look again is a matter of the runs that were looked for: those of the other kind have claims of their own."""
    await store.save_limit(LimitDraft(name="api", rate=Rate(count=1, per_s=10)), now=NOW)
    job = await a_job(store, python="call", pipeline=None, limit=LimitUse("api"))
    await some_runs(store, job, 2)
    await a_worker(store, labels=job.demands)
    assert await a_claim(store) == []
    taken = await store.claim("w", limit=9, now=NOW, calls=True)
    assert (len(taken.claimed), taken.next_at) == (1, at(10))
    assert (await store.claim("w", limit=9, now=at(1))).next_at is None
    assert (await store.claim("w", limit=9, now=at(1), calls=True)).next_at == at(10)


@pytest.mark.slow
async def test_postgres_looks_at_the_lanes_of_one_kind_by_an_index(new_database: Callable[[], str]) -> None:
    """No lane of the other kind is touched, and the look takes a small part of the time that it takes without the index."""
    address = new_database()
    async with open_store(address) as store:
        await a_worker(store, expires_s=1e6)
    look = (claims.LANES, ["w", at(SOON_S), 64, True, [], [], []], Lane.CLAIM)
    blind = (look[0].replace("(lane.labels LIKE", "(lane.labels || '' LIKE"), *look[1:])
    async with open_bridge(address, "etlplus") as bridge:
        await bridge.run(lambda db: db.execute(ON_POSTGRES, NOW, LANES))
        await bridge.run(lambda db: db.execute("ANALYZE lane"))
        walked = nodes((await carried_out(bridge, *look))["Plan"])
        by_kind = [node for node in walked if "labels ~~" in node.get("Index Cond", "")]
        assert {node["Index Name"] for node in by_kind} == INDEXES
        assert sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in by_kind) == 0
        assert await slow_ones(bridge, {"look": look}, blind, share_max=0.4) == {}


def test_sqlite_looks_at_the_lanes_of_one_kind_by_an_index() -> None:
    """Each look goes by an index and sorts nothing; the lanes of the other kind add no step of SQLite's machine to a claim."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db)
        db.execute("INSERT INTO worker VALUES ('w', ?, '{}', '')", (at(1e6).timestamp(),))
        alone = steps(db)
        db.execute(ON_SQLITE, (NOW.timestamp(), NOW.timestamp(), LANES))
        among_many = steps(db)
        for look, values in (
            (claiming._PLAIN, ()),
            (claiming._KEYED, ()),
            (claiming._READY, (1.0,)),
            (claiming._NEXT, (1.0,)),
        ):
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {look}", (True, *values))]
            assert any(re.match(r"SEARCH lane USING (COVERING )?INDEX lane_\w+ \(<expr>=\?", step) for step in plan), (
                plan
            )
            assert not any("B-TREE" in step for step in plan), plan
    assert among_many <= 1.1 * alone


def steps(db: sqlite3.Connection) -> int:
    """How many steps of SQLite's machine a claim of calls takes; unlike its time, they are the same on any machine."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    db.set_progress_handler(step, 1)
    claiming.claim(db, "w", 9, at(SOON_S), calls=True)
    db.set_progress_handler(None, 1)
    return taken
