"""How PostgreSQL goes about the statements of the hot path, with 200,000 runs in the store: by their indexes, and briefly.

How brief is a ratio, of the best of some times each: against one walk through all those runs, on the same machine in the same
minute. Whatever walks through them takes about as long as the yardstick; whatever goes by an index takes a small part of it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from etlplus.store.opening import open_store
from etlplus.store.postgres.bridge import Bridge, Db, Lane, open_bridge
from etlplus.store.postgres.marks import BOTTOM
from etlplus.store.postgres.sql import claims, runs, schedules
from etlplus.testing.stores import NOW, a_worker, at

AMOUNT = 200_000
SEED = """
    INSERT INTO run_live (id, lane, job_id, state, queue, rank_at, run_at, attempt, cancel_requested, worker_id, waits_until, doc)
    SELECT
        to_char(n, 'FM0000000'), 1 + n % 2, 'j', (ARRAY['queued', 'queued', 'queued', 'scheduled', 'running'])[1 + n % 5],
        'default', $1::timestamptz + n * interval '1 ms', $1::timestamptz + n * interval '1 ms', 0, false,
        CASE n % 5 WHEN 4 THEN 'w' || n % 1000 END, $1::timestamptz + interval '1 day', '{}'
    FROM generate_series(1, $2::int) AS n
"""
SLOTS = (
    "INSERT INTO limit_slot (key, slot, run_id) SELECT 'k' || n % 2000, n, 'r' || n FROM generate_series(1, 20000) AS n"
)
KEYED = """
    INSERT INTO lane (queue, labels, limit_name, limit_key, open, opened_at, ready_at)
    SELECT 'default', '', 'k', 'k/' || n, n % 3 = 0, $1, CASE WHEN n % 3 = 1 THEN $1::timestamptz + n * interval '1 s' END
    FROM generate_series(1, 20000) AS n
"""
BUCKETS = """
    INSERT INTO limit_bucket (key, limit_name, rate, credit, at, full_at)
    SELECT 'k/' || n, 'k', '{}', 0, $1, $1 FROM generate_series(1, 20000) AS n
"""
JOBS = """
    INSERT INTO job (id, name, next_at, doc, fault)
    SELECT 'j' || n, 'j' || n, $1::timestamptz + n * interval '1 s', '{}', CASE WHEN n % 1000 = 0 THEN 'x' END
    FROM generate_series(1, 50000) AS n
"""
ONE = ["0000001"]
KEYS = [f"k/{number}" for number in range(1, 65)]
LANES = list(range(3, 67))
HOT: dict[str, tuple[str, list[Any], Lane, int]] = {
    "claim": (claims.TAKE, ["w", NOW, [1], [200], [BOTTOM[0]], [BOTTOM[1]], [False]], Lane.CLAIM, 5000),
    "heads": (claims.CANDIDATES, [[1, 2], [200, 200], [BOTTOM[0]] * 2, [BOTTOM[1]] * 2], Lane.CLAIM, 1500),
    "lanes": (claims.LANES, ["w", at(600), 64, False], Lane.CLAIM, 1000),
    "turn": (claims.TURN_LANES, [LANES, [None] * 64, NOW], Lane.CLAIM, 2000),
    "slots": (claims.LOCK_SLOTS, [["k1"], [10], 200], Lane.CLAIM, 200),
    "buckets": (claims.LOCK_BUCKETS, [KEYS], Lane.CLAIM, 500),
    "tokens": (claims.SET_BUCKETS, [KEYS, ["k"] * 64, ["{}"] * 64, [1] * 64, [NOW] * 64, [NOW] * 64], Lane.CLAIM, 1000),
    "schedules": (schedules.JOBS_DUE, [at(60), 500], Lane.GENERAL, 500),
    "finish": (runs.FINISH, [ONE, [1], [1], ["failed"], [3], ["{}"], ["[]"], [None], ["x"], NOW, 1], Lane.SETTLE, 200),
    "free": (runs.FREE_SLOTS, [["r7", "r8"]], Lane.SETTLE, 100),
    "held": (claims.HELD_RUNS, [ONE], Lane.SETTLE, 100),
    "held by workers": (claims.HELD_BY_WORKERS, [["w4"], 500], Lane.GENERAL, 2000),
    "beat": (claims.BEAT, ["w4", NOW, at(9), False], Lane.BEAT, 2000),
    "due": (runs.RUNS_DUE, [at(0.5), 500], Lane.GENERAL, 2000),
    "impatient": (runs.RUNS_IMPATIENT, [at(0.5), 500, ["j"]], Lane.GENERAL, 200),
    "hint": (claims.HINT, [], Lane.GENERAL, 2000),
}
"""Statement, values, connection, and how many pages it may touch."""
BIG = ("run_live", "limit_slot", "limit_bucket", "lane", "job")
WALK = "SELECT count(*) FROM run_live WHERE doc::text <> $1"
"""The yardstick: one look at every run."""
SHARE_MAX = 0.15
TIMES = 5


class Undo(Exception):
    """Ends a unit, so that nothing of it stays."""


async def carried_out(bridge: Bridge, statement: str, values: list[Any], lane: Lane) -> dict[str, Any]:
    """What PostgreSQL tells of a statement that it has carried out, and that is then undone."""
    told: list[Any] = []

    async def unit(db: Db) -> None:
        told.append(await db.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement}", *values))
        raise Undo

    with pytest.raises(Undo):
        await bridge.run(unit, lane)
    return json.loads(told[0])[0]


async def explained(bridge: Bridge, name: str) -> dict[str, Any]:
    statement, values, lane, _ = HOT[name]
    return (await carried_out(bridge, statement, values, lane))["Plan"]


async def best_ms(bridge: Bridge, statement: str, values: list[Any], lane: Lane) -> float:
    """The best of some times that the server took, in milliseconds."""
    return min([(await carried_out(bridge, statement, values, lane))["Execution Time"] for _ in range(TIMES)])


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


@pytest.fixture
async def bridge(new_database: Callable[[], str]) -> AsyncGenerator[Bridge]:
    address = new_database()
    async with open_store(address) as store:
        await a_worker(store, expires_s=1e6)
    async with open_bridge(address, "etlplus") as opened:
        lanes = "INSERT INTO lane (queue, labels, limit_key, open, opened_at) VALUES ('default', $1, '', true, $2)"
        for labels in ("", "x"):
            await opened.run(lambda db, labels=labels: db.execute(lanes, labels, NOW))
        await opened.run(lambda db: db.execute(SEED, NOW, AMOUNT))
        await opened.run(lambda db: db.execute(SLOTS))
        for seed in (KEYED, BUCKETS, JOBS):
            await opened.run(lambda db, seed=seed: db.execute(seed, NOW))
        await opened.run(lambda db: db.execute("ANALYZE"))
        yield opened


@pytest.mark.slow
async def test_the_hot_path_goes_by_indexes_and_touches_few_pages(bridge: Bridge) -> None:
    """No statement walks through a table that may grow, and each stays within its pages."""
    for name, (_, _, _, pages_max) in HOT.items():
        plan = await explained(bridge, name)
        walked = [
            node for node in nodes(plan)
            if node["Node Type"] == "Seq Scan" and node.get("Relation Name") in BIG
        ]  # fmt: skip
        pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        assert walked == [], f"{name} walks through a whole table"
        assert pages <= pages_max, f"{name} touches {pages} pages"


@pytest.mark.slow
async def test_the_hot_path_takes_a_small_part_of_a_walk(bridge: Bridge) -> None:
    """Each statement is far from the time that one look at every run takes; one that has no index to go by is not."""
    walk_ms = await best_ms(bridge, WALK, [""], Lane.GENERAL)
    shares = {
        name: await best_ms(bridge, statement, values, lane) / walk_ms
        for name, (statement, values, lane, _) in HOT.items()
    }
    assert {name: round(share, 3) for name, share in shares.items() if share > SHARE_MAX} == {}
    blind = runs.RUNS_DUE.replace("ORDER BY run_at, id", "ORDER BY doc::text")
    assert await best_ms(bridge, blind, [at(1e6), 500], Lane.GENERAL) / walk_ms > SHARE_MAX


@pytest.mark.slow
async def test_a_plan_made_on_an_empty_store_is_good_for_a_full_one(new_database: Callable[[], str]) -> None:
    """The connections of the hot path use indexes though the tables are empty, since the plan is kept as they grow."""
    address = new_database()
    async with open_store(address):
        pass
    async with open_bridge(address, "etlplus") as bridge:
        for name, (_, _, lane, _) in HOT.items():
            if lane in (Lane.CLAIM, Lane.SETTLE):
                kinds = {
                    (node["Node Type"], node.get("Relation Name")) for node in nodes(await explained(bridge, name))
                }
                assert ("Seq Scan", "run_live") not in kinds, name
                assert not {kind for kind, _ in kinds} & {"Hash Join", "Merge Join"}, name
