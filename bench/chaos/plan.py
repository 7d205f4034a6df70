"""
What will go wrong, and when: everything follows from the seed and the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

Harm = Literal["kill", "freeze", "restart_fast", "restart_immediate", "away", "silence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large a story is.

    Attributes:
        runs: How many are asked for by hand.
        spread_s: Over how many seconds they are asked for, and things go wrong.
        away_s: How long PostgreSQL is away; 0 means never.
        frozen_s: How long a node is frozen; 0 means never.
        restarts: Of PostgreSQL, by turns fast and immediate.
        shift_s: By how much the clock of one node is wrong.
    """

    runs: int
    nodes: int
    spread_s: float
    kills: int
    restarts: int
    away_s: float = 0.0
    frozen_s: float = 0.0
    silent_s: float = 0.0
    shift_s: float = 0.0
    beat_s: float = 5.0
    expiry_s: float = 20.0


FULL = Scale(
    runs=20_000, nodes=3, spread_s=300, kills=12, restarts=2, away_s=90, frozen_s=35, silent_s=30, shift_s=45
)  # fmt: skip
SMALL = Scale(runs=300, nodes=2, spread_s=5, kills=1, restarts=1, shift_s=45)


@dataclass(frozen=True, slots=True)
class Fault:
    """One harm: when it begins, after how many seconds from the start, and how long it lasts."""

    at_s: float
    harm: Harm
    lasts_s: float = 0.0
    node: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that goes wrong, in order; ``shifts_s`` is what each node's clock is ahead."""

    seed: int
    scale: Scale
    faults: tuple[Fault, ...]
    shifts_s: tuple[float, ...]


def plan(seed: int, scale: Scale) -> Plan:
    """The plan of a seed. What happens to the server happens in turn, at a tenth to nine tenths of the time."""
    rng = Random(seed)
    faults = [
        Fault(rng.uniform(0.1, 0.95) * scale.spread_s, "kill", rng.uniform(0, 6) * (scale.spread_s > 60), node)
        for node in _picked(rng, scale)
    ]
    shifts_s = [0.0] * scale.nodes
    shifts_s[rng.randrange(scale.nodes)] = rng.choice([-1, 1]) * scale.shift_s
    faults += _of_the_server(rng, scale)
    if scale.frozen_s:
        at_s = rng.uniform(0.7, 0.8) * scale.spread_s
        faults.append(Fault(at_s, "freeze", scale.frozen_s, rng.randrange(scale.nodes)))
    if scale.silent_s:
        faults.append(Fault(rng.uniform(0.1, 0.8) * scale.spread_s, "silence", scale.silent_s))
    return Plan(seed, scale, tuple(sorted(faults, key=lambda fault: fault.at_s)), tuple(shifts_s))


def _picked(rng: Random, scale: Scale) -> list[int]:
    return [rng.randrange(scale.nodes) for _ in range(scale.kills)]


def _of_the_server(rng: Random, scale: Scale) -> list[Fault]:
    kinds: list[Harm] = ["restart_fast", "restart_immediate"]
    first = rng.randrange(2)
    faults = [
        Fault((0.15 + 0.45 * number + rng.uniform(0, 0.1)) * scale.spread_s, kinds[(first + number) % 2])
        for number in range(scale.restarts)
    ]
    if scale.away_s:
        faults.append(Fault(rng.uniform(0.27, 0.3) * scale.spread_s, "away", scale.away_s))
    return faults
