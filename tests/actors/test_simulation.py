"""The whole staff under faults: what must hold for every seed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from simulation import AT_ONCE, RUNS, World, play

from etlplus.jobs.lifecycle import Happening
from etlplus.jobs.model import RunState

SEEDS = 100


def assert_holds(world: World, seed: int) -> None:
    assert len(world.runs) == RUNS, f"seed {seed}: a run was lost or doubled"
    assert 0 < world.limited_most <= AT_ONCE, f"seed {seed}: {world.limited_most} at once under a limit of {AT_ONCE}"
    for run in world.runs:
        events = [event for event in world.events if event.run_id == run.id]
        assert [event.version for event in events] == list(range(1, run.version + 1)), f"seed {seed}: a gap"
        if run.state is RunState.SUCCEEDED:
            assert sum(event.kind == Happening.SUCCEEDED for event in events) == 1, f"seed {seed}: finished twice"
            assert world.destination.rows[run.id] == 1, f"seed {seed}: a run succeeded without its rows"
        else:
            assert run.error is not None, f"seed {seed}: {run.state} without a reason"
            assert run.error.code == "worker_lost", f"seed {seed}: {run.error}"


@pytest.mark.slow
def test_no_run_is_lost_or_doubled_whatever_crashes() -> None:
    """A hundred stories with crashes, lost answers and zombies: every run ends once, its rows are there once, no limit is
    exceeded, and no slot is lost, or the last runs under the limit would never end."""
    for seed in range(SEEDS):
        assert_holds(play(seed), seed)


def test_the_same_seed_tells_the_same_story() -> None:
    """Two plays of one seed make the same transitions at the same times."""
    assert play(7).trace() == play(7).trace()
    assert play(7).trace() != play(8).trace()
