"""How PostgreSQL goes about the statements of the hot path, with 200,000 runs in the store: by their indexes, and briefly."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from etlplus.store.opening import open_store
from etlplus.store.postgres.bridge import Bridge, Db, Lane, open_bridge
from etlplus.store.postgres.marks import BOTTOM
from etlplus.store.postgres.sql import claims, runs
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
ONE = ["0000001"]
HOT: dict[str, tuple[str, list[Any], Lane, int]] = {
    "claim": (claims.TAKE, ["w", NOW, [1], [200], [BOTTOM[0]], [BOTTOM[1]], [False]], Lane.CLAIM, 5000),
    "heads": (claims.CANDIDATES, [[1, 2], [200, 200], [BOTTOM[0]] * 2, [BOTTOM[1]] * 2], Lane.CLAIM, 1500),
    "lanes": (claims.LANES, ["w", NOW, 64, False], Lane.CLAIM, 200),
    "slots": (claims.LOCK_SLOTS, [["k1"], [10], 200], Lane.CLAIM, 200),
    "finish": (runs.FINISH, [ONE, [1], [1], ["failed"], [3], ["{}"], ["[]"], [None], ["x"], NOW, 1], Lane.SETTLE, 200),
    "free": (runs.FREE_SLOTS, [["r7", "r8"]], Lane.SETTLE, 100),
    "held": (claims.HELD_RUNS, [ONE], Lane.SETTLE, 100),
    "held by workers": (claims.HELD_BY_WORKERS, [["w4"], 500], Lane.GENERAL, 2000),
    "beat": (claims.BEAT, ["w4", NOW, at(9)], Lane.BEAT, 2000),
    "due": (runs.RUNS_DUE, [at(0.5), 500], Lane.GENERAL, 2000),
    "impatient": (runs.RUNS_IMPATIENT, [at(0.5), 500, ["j"]], Lane.GENERAL, 200),
    "hint": (claims.HINT, [], Lane.GENERAL, 2000),
}
"""Statement, values, connection, and how many pages it may touch."""


class Undo(Exception):
    """Ends a unit, so that nothing of it stays."""


async def explained(bridge: Bridge, name: str) -> dict[str, Any]:
    statement, values, lane, _ = HOT[name]
    plans: list[Any] = []

    async def unit(db: Db) -> None:
        plans.append(await db.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *values))
        raise Undo

    with pytest.raises(Undo):
        await bridge.run(unit, lane)
    return json.loads(plans[0])[0]["Plan"]


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


@pytest.fixture
async def bridge(new_database: Callable[[], str]) -> AsyncGenerator[Bridge]:
    address = new_database()
    async with open_store(address) as store:
        await a_worker(store)
    async with open_bridge(address, "etlplus") as opened:
        lanes = "INSERT INTO lane (queue, labels, limit_key, open, opened_at) VALUES ('default', $1, '', true, $2)"
        for labels in ("", "x"):
            await opened.run(lambda db, labels=labels: db.execute(lanes, labels, NOW))
        await opened.run(lambda db: db.execute(SEED, NOW, AMOUNT))
        await opened.run(lambda db: db.execute(SLOTS))
        await opened.run(lambda db: db.execute("ANALYZE"))
        yield opened


@pytest.mark.slow
async def test_the_hot_path_goes_by_indexes_and_touches_few_pages(bridge: Bridge) -> None:
    """No statement walks through the table of unfinished runs or of slots, and each stays within its pages."""
    for name, (_, _, _, pages_max) in HOT.items():
        plan = await explained(bridge, name)
        walked = [
            node for node in nodes(plan)
            if node["Node Type"] == "Seq Scan" and node.get("Relation Name") in ("run_live", "limit_slot")
        ]  # fmt: skip
        pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        assert walked == [], f"{name} walks through a whole table"
        assert pages <= pages_max, f"{name} touches {pages} pages"


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
