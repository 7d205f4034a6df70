"""The whole staff under faults: what must hold for every seed."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from simulation import AT_ONCE, BEAT_S, BEATS, RUNS, World, play

from etlplus.jobs.lifecycle import Happening
from etlplus.jobs.model import RunState

SEEDS = 100


def assert_holds(world: World, seed: int) -> None:
    by_hand = [run for run in world.runs if run.job_id != world.timed.id]
    assert len(by_hand) == RUNS, f"seed {seed}: a run was lost or doubled"
    assert 0 < world.limited_most <= AT_ONCE, f"seed {seed}: {world.limited_most} at once under a limit of {AT_ONCE}"
    assert_each_nominal_time_is_decided_once(world, seed)
    for run in world.runs:
        events = [event for event in world.events if event.run_id == run.id]
        assert [event.version for event in events] == list(range(1, run.version + 1)), f"seed {seed}: a gap"
        if run.state is RunState.SUCCEEDED:
            assert sum(event.kind == Happening.SUCCEEDED for event in events) == 1, f"seed {seed}: finished twice"
            assert world.destination.rows[run.id] == 1, f"seed {seed}: a run succeeded without its rows"
        elif run.state is RunState.CANCELLED:
            assert run.job_id == world.timed.id, f"seed {seed}: nobody asked for its end"
        else:
            assert run.error is not None, f"seed {seed}: {run.state} without a reason"
            assert run.error.code == "worker_lost", f"seed {seed}: {run.error}"


def assert_each_nominal_time_is_decided_once(world: World, seed: int) -> None:
    """The lines of the ledger follow each other without gap or overlap, and those that fired have a run each."""
    beats = 0
    for line in reversed(world.ticks):
        first, last = (
            (at - world.timed.updated_at) / timedelta(seconds=BEAT_S) for at in (line.nominal_at, line.last_at)
        )
        assert (first, last) == (beats + 1, beats + line.count), f"seed {seed}: {line} after {beats} beats"
        beats += line.count
    assert beats == BEATS, f"seed {seed}: {beats} nominal times were decided"
    made = sorted(run.id for run in world.runs if run.job_id == world.timed.id)
    assert made == sorted(line.run_id for line in world.ticks if line.run_id), f"seed {seed}: lines and runs differ"


@pytest.mark.slow
def test_no_run_is_lost_or_doubled_whatever_crashes() -> None:
    """A hundred stories with crashes, lost answers and zombies: every run ends once, its rows are there once, no limit is
    exceeded, and no slot is lost, or the last runs under the limit would never end; every nominal time of a schedule is
    decided once.
    """
    for seed in range(SEEDS):
        assert_holds(play(seed), seed)


def test_the_same_seed_tells_the_same_story() -> None:
    """Two plays of one seed make the same transitions at the same times."""
    assert play(7).trace() == play(7).trace()
    assert play(7).trace() != play(8).trace()
