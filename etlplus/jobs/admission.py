"""
Which runs a claim may take: from which lanes, and how many from each.

A store finds the lanes that a worker may take from, the heads of those lanes, and the free slots of every key that counts
there. Here it is decided what is taken: strictly by rank, as long as each key on the way has a slot left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from etlplus.jobs.queues import HOUSE, queue_key

Rank = tuple[Any, str]
"""What a store orders runs by: when each ranks, then its id."""


class Lane(msgspec.Struct, frozen=True):
    """Where runs wait that a worker may take. ``caps`` are the keys that each of them counts against (the house's, the
    queue's, its limit's) with the number of their slots; ``key`` is the limit's own, or empty.
    """

    id: int
    key: str = ""
    caps: tuple[tuple[str, int], ...] = ()


def lane(number: int, queue: str, key: str, *, house: int | None, of_queue: int | None, of_key: int | None) -> Lane:
    """A lane under the limits there are; None means that there is none."""
    caps = ((HOUSE, house), (queue_key(queue), of_queue), (key, of_key if key else None))
    return Lane(number, key, tuple((name, slots) for name, slots in caps if slots is not None))


def caps(lanes: Iterable[Lane]) -> dict[str, int]:
    """Every key that counts in these lanes, with the number of its slots."""
    return {key: slots for each in lanes for key, slots in each.caps}


def room(each: Lane, free: Mapping[str, Sequence[int]], limit: int) -> int:
    """How many runs of one lane alone may be taken."""
    return min([limit, *(len(free.get(key, ())) for key, _ in each.caps)])


def choose(
    lanes: Sequence[Lane], heads: Mapping[int, Sequence[Rank]], free: Mapping[str, Sequence[int]], limit: int
) -> dict[int, int]:
    """
    How many runs to take from the head of each lane.

    Args:
        heads: For each lane, its best ranks in order; as many as ``room`` says are enough.
        free: The free slots of each key that counts.
        limit: How many runs the worker wants.

    Returns:
        Lane to number, without zeros. No key is asked for more than it has free, and no run is passed over for one that
        ranks behind it unless a key of its own is used up.
    """
    left = {key: len(slots) for key, slots in free.items()}
    by_id = {each.id: each for each in lanes}
    taken: dict[int, int] = {}
    for _, number in sorted((rank, number) for number, ranks in heads.items() for rank in ranks):
        keys = [key for key, _ in by_id[number].caps]
        if limit and all(left.get(key, 0) for key in keys):
            limit -= 1
            taken[number] = taken.get(number, 0) + 1
            for key in keys:
                left[key] -= 1
    return taken


def assign(runs: Iterable[tuple[str, Lane]], free: Mapping[str, Sequence[int]]) -> list[tuple[str, int, str]]:
    """Give each run one free slot of every key it counts against: (key, slot, run)."""
    at_hand = {key: iter(slots) for key, slots in free.items()}
    return [(key, next(at_hand[key]), run_id) for run_id, each in runs for key, _ in each.caps]
