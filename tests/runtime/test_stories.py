"""Random stories about actors: what must hold for every seed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from actor_simulation import Story, faults_of, play

HERE = Path(__file__).parent
SEEDS = 1000
REGRESSIONS = {
    10: "messages were not accounted for while they waited for room",
    25: "a system never ended",
    39: "asks to somebody wedged outlived their deadline",
    225: "a system never ended",
    60827: "a crash while later siblings started made one of them live twice",
    95379: "a sibling that ended for good while others were stopped for a restart was started again",
}
"""Seeds of stories that once broke a law, for as long as the stories are told in the same way."""

TELL = """
import sys
sys.path.insert(0, {here!r})
from actor_simulation import play
print(*[play(seed).digest() for seed in range({first}, {last})])
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, 200))
def test_the_promises_hold_whatever_happens(first: int, part: Callable[[range], range]) -> None:
    """Counts add up, order is kept, asks end in time, stops are in order, nothing works while broken, no error is lost.
    Interpreters that are tested together share the stories, since each of them tells the same one for a seed.
    """
    told: Counter[str] = Counter()
    for seed in part(range(first, first + 200)):
        story = play(seed)
        assert faults_of(story) == [], f"seed {seed}"
        told.update(_kinds(story))
    assert {
        "handled",
        "ticked",
        "crashed Trouble",
        "crashed Killed",
        "faulted AskTimeout",
        "faulted AskCycle",
    } <= told.keys()


def _kinds(story: Story) -> set[str]:
    return {f"{what} {more}" if what in ("crashed", "faulted") else what for _, what, _, more in story.events}


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_what_was_broken_once_holds(seed: int) -> None:
    """Each of these stories found a fault."""
    assert faults_of(play(seed)) == []


def interpreters() -> list[str]:
    """This one, and the other ones that the project prepared."""
    others = [str(each) for each in sorted(HERE.parents[1].glob(".venv*/bin/python"))]
    return [sys.executable, *[each for each in others if Path(each).parents[1] != Path(sys.prefix)]]


@pytest.mark.slow
def test_the_same_seed_tells_the_same_story_everywhere() -> None:
    """In another process, under another hash seed, and on the other interpreters that we promise, if they are prepared."""
    program = TELL.format(here=str(HERE), first=0, last=20)
    said = set()
    for number, python in enumerate([sys.executable, *interpreters()]):
        env = os.environ | {"PYTHONHASHSEED": str(number), "PYTHONPATH": str(HERE.parents[1])}
        ended = subprocess.run(
            [python, "-c", program], capture_output=True, text=True, check=True, env=env, timeout=120
        )
        said.add(ended.stdout)
    assert len(said) == 1
    assert len(set(said.pop().split())) == 20
