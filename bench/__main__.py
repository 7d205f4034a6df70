"""
``python -m bench NAME [--json FILE]``: measure, print, and keep the figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import runtime, schedules, soak, store, zones
from bench.measure import Figures


def main() -> None:
    """Run one benchmark by name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios against a named yardstick.")
    parser.add_argument("name", choices=["runtime", "schedules", "soak", "store", "zones"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures here")
    parser.add_argument("--seeds", type=int, default=soak.SEEDS, help="how many simulated nights (soak)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (soak)")
    chosen = parser.parse_args()
    figures = Figures()
    if chosen.name == "soak":
        soak.measure(figures, chosen.seeds, chosen.first)
    else:
        {"runtime": runtime, "schedules": schedules, "store": store, "zones": zones}[chosen.name].measure(figures)
    if chosen.json:
        figures.write(chosen.json)


main()
