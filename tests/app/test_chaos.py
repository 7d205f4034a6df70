"""Real nodes on a real PostgreSQL: one is killed, the server falls, one has a wrong clock, and all is judged afterwards."""

from __future__ import annotations

import pytest
import trio

from bench.chaos.plan import FULL, SMALL, plan
from bench.chaos.story import Story, told
from bench.chaos.verdict import judge
from etlplus.store.postgres.bridge import open_bridge

SEED = 5

TAMPERED = {
    "are lost": "DELETE FROM etlplus.run WHERE id IN (SELECT id FROM etlplus.run WHERE state = 'succeeded' LIMIT 1)",
    "nobody was told of": "UPDATE etlplus.run SET id = 'x' WHERE id IN (SELECT id FROM etlplus.run WHERE state = 'failed' LIMIT 1)",
    "effects were applied twice": "INSERT INTO chaos.effect SELECT * FROM chaos.effect LIMIT 1",
    "succeeded without their effect": """
        DELETE FROM chaos.effect WHERE run_id IN (
            SELECT run_id FROM chaos.effect JOIN etlplus.run ON run.id = run_id WHERE state = 'succeeded' LIMIT 1
        )
    """,
    "histories have gaps": "DELETE FROM etlplus.run_event WHERE run_id IN (SELECT run_id FROM etlplus.run_event LIMIT 1)",
    "dead letters do not match": "DELETE FROM etlplus.dead_letter",
    "were carried at once": "UPDATE chaos.carried SET at = now() WHERE delta = -1",
    "slots are held by nobody": "UPDATE etlplus.limit_slot SET run_id = 'x' WHERE key = '*' AND slot = 1",
    "keys were held twice": "UPDATE chaos.lived SET key = 'k' WHERE delta = 1",
    "the ledger goes on with": "DELETE FROM etlplus.tick WHERE nominal_at = (SELECT min(nominal_at) FROM etlplus.tick)",
    "were made before their time": "UPDATE chaos.lived SET at = at - interval '1 hour'",
}
"""What the judge must see, and what makes it so."""


async def execute(address: str, statement: str) -> str:
    """What the server says that it did; without a transaction around it, as CREATE DATABASE wants it."""
    async with open_bridge(address, "chaos") as bridge:
        return await bridge.run(lambda db: db.execute(statement), atomic=False)


async def complaints_when(story: Story, statement: str) -> list[str]:
    """What the judge says of a copy of what the story left, after this was done to it."""
    apart, copy = (story.server.address.replace("/postgres?", f"/{name}?") for name in ("template1", "spoiled"))
    await execute(apart, "CREATE DATABASE spoiled TEMPLATE postgres")
    assert await execute(copy, statement) not in ("DELETE 0", "UPDATE 0", "INSERT 0 0")
    complaints = (await judge(story, copy)).complaints
    await execute(apart, "DROP DATABASE spoiled")
    return complaints


@pytest.mark.slow
def test_killed_nodes_and_a_fallen_server_lose_nothing_and_double_nothing() -> None:
    """Two nodes, 300 runs by hand and what schedules make: every run ends once, every effect is there once, no limit is
    exceeded, each nominal time is decided once, no history has a gap, and no connection or process is left. Then copies of
    what was kept are spoiled, each in one way, and the judge finds each.
    """
    with told(plan(SEED, SMALL)) as story:
        verdict = trio.run(judge, story)
        assert verdict.complaints == [], verdict.evidence
        assert verdict.figures["kills"] == 1
        assert verdict.figures["server_stops"] == 1
        assert verdict.figures["runs"] > SMALL.runs * 0.95
        for complaint, statement in TAMPERED.items():
            found = trio.run(complaints_when, story, statement)
            assert any(complaint in each for each in found), (complaint, found)


def test_the_same_seed_makes_the_same_plan() -> None:
    """Another one makes another."""
    assert plan(7, FULL) == plan(7, FULL)
    assert plan(7, FULL) != plan(8, FULL)
    harms = [fault.harm for fault in plan(7, FULL).faults]
    assert {*harms} == {"kill", "freeze", "restart_fast", "restart_immediate", "away", "silence"}
    assert harms.count("kill") == FULL.kills
