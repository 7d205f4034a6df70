"""
``python -m bench NAME [--json FILE]``: measure, print, and keep the figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import history, runs, runtime, schedules, soak, store, ticks, zones
from bench.measure import Figures
from bench.peers import compare

MEASURES = {
    each.__name__.rpartition(".")[2]: each.measure for each in (history, runs, runtime, schedules, store, ticks, zones)
}
MEASURES["peers"] = compare.measure
SOAKS = {
    "soak": soak.measure,
    "soak-stories": soak.measure_stories,
    "soak-nights": soak.measure_nights,
    "soak-chaos": soak.measure_chaos,
}


def main() -> None:
    """Run one benchmark by name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios against a named yardstick.")
    parser.add_argument("name", choices=[*MEASURES, *SOAKS])
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures here")
    parser.add_argument("--seeds", type=int, help="how many stories, nights or chaotic ones, each (soak)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (soak)")
    parser.add_argument("--store", choices=["postgres", "sqlite"], default="postgres", help="where the runs are (runs)")
    chosen = parser.parse_args()
    figures = Figures()
    if chosen.name in SOAKS:
        SOAKS[chosen.name](figures, first=chosen.first, **({} if chosen.seeds is None else {"seeds": chosen.seeds}))
    else:
        MEASURES[chosen.name](figures, **({"store": chosen.store} if chosen.name == "runs" else {}))
    if chosen.json:
        figures.write(chosen.json)


main()
