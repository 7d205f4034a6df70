"""How PostgreSQL goes about the statements of the hot path, with 200,000 runs in the store: by their indexes, and briefly.

How brief is a ratio, of the best of some times each: against one walk through all those runs, taken in turn with it. Whatever
walks through them takes about as long as the yardstick; whatever goes by an index takes a small part of it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from math import inf
from typing import Any

import pytest

from etlplus.jobs.queues import HOUSE, LimitDraft
from etlplus.store.opening import open_store
from etlplus.store.postgres.bridge import Bridge, Db, Lane, open_bridge
from etlplus.store.postgres.marks import BOTTOM
from etlplus.store.postgres.sql import claims, runs, schedules
from etlplus.testing.stores import NOW, a_worker, at

AMOUNT = 200_000
SEED = """
    INSERT INTO run_live (id, lane, job_id, state, queue, rank_at, run_at, attempt, cancel_requested, worker_id, waits_until, doc)
    SELECT
        to_char(n, 'FM0000000'), 1 + n % 3, 'j', (ARRAY['queued', 'queued', 'queued', 'scheduled', 'running'])[1 + n % 5],
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
LANES = list(range(4, 68))
MARKS = [[1, 2, 3], [BOTTOM[0]] * 3, [BOTTOM[1]] * 3]
END = [ONE, [1], [1], ["failed"], [3], ["{}"], ["[]"], [None], ["x"]]
HOT: dict[str, tuple[str, list[Any], Lane, int]] = {
    "claim": (claims.TAKE, ["w", NOW, [1], [200], [BOTTOM[0]], [BOTTOM[1]], [False]], Lane.CLAIM, 5000),
    "heads": (claims.CANDIDATES, [[1, 2], [200, 200], [BOTTOM[0]] * 2, [BOTTOM[1]] * 2], Lane.CLAIM, 200),
    "look": (claims.LOOK_AND_TAKE, ["w", at(600), 64, False, *MARKS, 200], Lane.CLAIM, 200),
    "look and take": (claims.LOOK_AND_TAKE, ["w", NOW, 64, True, *MARKS, 50], Lane.CLAIM, 2500),
    "look at one kind": (claims.LANES, ["w", at(600), 64, True, *MARKS], Lane.CLAIM, 50),
    "turn": (claims.TURN_LANES, [LANES, [None] * 64, NOW], Lane.CLAIM, 2000),
    "slots": (claims.LOCK_SLOTS, [["k1"], [10], 200], Lane.CLAIM, 200),
    "buckets": (claims.LOCK_BUCKETS, [KEYS], Lane.CLAIM, 500),
    "tokens": (claims.SET_BUCKETS, [KEYS, ["k"] * 64, ["{}"] * 64, [1] * 64, [NOW] * 64, [NOW] * 64], Lane.CLAIM, 1000),
    "next due": (schedules.NEXT_DUE, [200], Lane.GENERAL, 500),
    "some schedules": (schedules.SCHEDULED_JOBS, [["j1", "j2"], 200], Lane.GENERAL, 100),
    "schedules": (schedules.JOBS_DUE, [at(60), 500], Lane.GENERAL, 500),
    "finish": (runs.FINISH, [NOW, *END, 1], Lane.SETTLE, 200),
    "hand over": (claims.HAND_OVER, ["w", NOW, True, 50, *MARKS, *END, 1], Lane.SETTLE, 200),
    "free": (runs.FREE_SLOTS, [["r7", "r8"]], Lane.SETTLE, 100),
    "held": (claims.HELD_RUNS, [ONE], Lane.SETTLE, 100),
    "held by workers": (claims.HELD_BY_WORKERS, [["w4"], 500], Lane.GENERAL, 2000),
    "beat": (claims.BEAT, ["w4", NOW, at(9), False], Lane.BEAT, 2000),
    "due": (runs.RUNS_DUE, [at(0.5), 500], Lane.GENERAL, 2000),
    "impatient": (runs.RUNS_IMPATIENT, [at(0.5), 500, ["j"]], Lane.GENERAL, 200),
    "stretch": (runs.TO_CANCEL, [["queued"], "j", "default", None, None, None, 1000], Lane.GENERAL, 500),
    "hint": (claims.HINT, [], Lane.GENERAL, 2000),
}
"""Statement, values, connection, and how many pages it may touch."""
BIG = ("run_live", "limit_slot", "limit_bucket", "lane", "job")
Call = tuple[str, list[Any], Lane]
WALK: Call = ("SELECT count(*) FROM run_live WHERE doc::text <> $1", [""], Lane.GENERAL)
"""The yardstick: one look at every run."""
SHARE_MAX = 0.15
ROUNDS_MIN = 3
"""What is found quick by then is not measured again."""
ROUNDS_MAX = 40
"""What is still slow by then is slow: on a busy machine most times are spoilt, but hardly forty in a row."""


class Undo(Exception):
    """Ends a unit, so that nothing of it stays."""


async def carried_out(bridge: Bridge, statement: str, values: list[Any], lane: Lane) -> dict[str, Any]:
    """What PostgreSQL tells of a statement that it has carried out, and that is then undone.

    It is prepared first: explained with its values in plain sight, it would get a plan made for them, where the connections of
    the hot path keep one for any values. And it is carried out by one process, whether or not another core is free.
    """
    told: list[Any] = []

    async def unit(db: Db) -> None:
        await db.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        await db.execute(f"PREPARE hot AS {statement}")
        kinds = await db.fetchval("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'hot'")
        texts = [
            await db.fetchval(f"SELECT quote_nullable($1::{kind}::text)", value)
            for kind, value in zip(kinds, values, strict=True)
        ]
        call = f"hot ({', '.join(texts)})" if texts else "hot"
        told.append(await db.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE {call}"))
        await db.execute("DEALLOCATE hot")
        raise Undo

    with pytest.raises(Undo):
        await bridge.run(unit, lane)
    return json.loads(told[0])[0]


async def explained(bridge: Bridge, name: str) -> dict[str, Any]:
    statement, values, lane, _ = HOT[name]
    return (await carried_out(bridge, statement, values, lane))["Plan"]


async def slow_ones(
    bridge: Bridge, statements: dict[str, Call], yardstick: Call = WALK, share_max: float = SHARE_MAX
) -> dict[str, float]:
    """
    Those that take more than their share of the yardstick's time, each with the share that it takes.

    The yardstick and the statements take turns, and the best time of each counts: another's load can only add to a time.
    Whatever seems slow is therefore tried again, until it is found quick or its rounds are over.
    """
    best_ms = dict.fromkeys(["", *statements], inf)
    slow = dict.fromkeys(statements, inf)
    for number in range(1, ROUNDS_MAX + 1):
        for name, call in {"": yardstick, **{name: statements[name] for name in slow}}.items():
            best_ms[name] = min(best_ms[name], (await carried_out(bridge, *call))["Execution Time"])
        shares = {name: best_ms[name] / best_ms[""] for name in slow}
        slow = {name: share for name, share in shares.items() if share > share_max or number < ROUNDS_MIN}
    return slow


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


@pytest.fixture
async def bridge(new_database: Callable[[], str]) -> AsyncGenerator[Bridge]:
    address = new_database()
    async with open_store(address) as store:
        await store.save_limit(LimitDraft(name=HOUSE, slots=1000), now=NOW)
        await a_worker(store, expires_s=1e6, labels=["!c"])
    async with open_bridge(address, "etlplus") as opened:
        lanes = "INSERT INTO lane (queue, labels, limit_key, open, opened_at) VALUES ('default', $1, '', true, $2)"
        for labels in ("", "x", "!c"):
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
    blind = runs.RUNS_DUE.replace("ORDER BY run_at, id", "ORDER BY doc::text")
    statements = {name: (statement, values, lane) for name, (statement, values, lane, _) in HOT.items()}
    slow = await slow_ones(bridge, statements | {"blind": (blind, [at(1e6), 500], Lane.GENERAL)})
    assert set(slow) == {"blind"}, slow


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
