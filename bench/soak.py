"""
The long proof: thousands of simulated nights with crashes, zombies and lost answers (``--seeds N``, from ``--first N``).

Stops at the first seed that breaks a promise and names it.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from bench.measure import Figures

SEEDS = 2000


def measure(figures: Figures, seeds: int = SEEDS, first: int = 0) -> None:
    """Play the seeds; a broken promise raises with the seed in its message."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "actors"))
    simulation: Any = importlib.import_module("simulation")
    laws: Any = importlib.import_module("test_simulation")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    began = time.perf_counter()
    for seed in range(first, first + seeds):
        laws.assert_holds(simulation.play(seed), seed)
    figures.note("seeds_held", seeds)
    figures.note("seconds", time.perf_counter() - began)
