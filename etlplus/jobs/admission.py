"""
Which runs a claim may take: from which lanes, and how many from each.

A store finds the lanes that a worker may take from, the heads of those lanes, and the free slots and the tokens of every key
that counts there. Here it is decided what is taken: strictly by rank, as long as each key on the way has some left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from etlplus.jobs.queues import HOUSE, queue_key
from etlplus.jobs.rates import Bucket, next_token_at

Rank = tuple[Any, str]
"""What a store orders runs by: when each ranks, then its id."""


class Lane(msgspec.Struct, frozen=True):
    """Where runs wait that a worker may take. ``caps`` are the keys that each of them counts against (the house's, the
    queue's, its limit's) with the number of their slots; ``paced`` are those that have a rate; ``key`` is the limit's own, or
    empty.
    """

    id: int
    key: str = ""
    caps: tuple[tuple[str, int], ...] = ()
    paced: tuple[str, ...] = ()


class Rule(NamedTuple):
    """What a limit asks of each of its keys."""

    slots: int | None = None
    paced: bool = False


NO_RULE = Rule()


def lane(
    number: int, queue: str, key: str, *, house: Rule = NO_RULE, of_queue: int | None = None, of_key: Rule = NO_RULE
) -> Lane:
    """A lane under the limits there are."""
    caps = ((HOUSE, house.slots), (queue_key(queue), of_queue), (key, of_key.slots if key else None))
    rates = ((HOUSE, house.paced), (key, of_key.paced and bool(key)))
    return Lane(
        number,
        key,
        tuple((name, slots) for name, slots in caps if slots is not None),
        tuple(name for name, paced in rates if paced),
    )


def caps(lanes: Iterable[Lane]) -> dict[str, int]:
    """Every key that counts in these lanes, with the number of its slots."""
    return {key: slots for each in lanes for key, slots in each.caps}


def paced(lanes: Iterable[Lane]) -> list[str]:
    """Every key with a rate that counts in these lanes, in order."""
    return sorted({key for each in lanes for key in each.paced})


class Left(NamedTuple):
    """What keys have to give: free slots, and tokens."""

    free: Mapping[str, Sequence[int]]
    tokens: Mapping[str, int]


def room(each: Lane, left: Left, limit: int) -> int:
    """How many runs of one lane alone may be taken."""
    slots = (len(left.free.get(key, ())) for key, _ in each.caps)
    return min([limit, *slots, *(left.tokens.get(key, 0) for key in each.paced)])


def choose(lanes: Sequence[Lane], heads: Mapping[int, Sequence[Rank]], left: Left, limit: int) -> dict[int, int]:
    """
    How many runs to take from the head of each lane.

    Args:
        heads: For each lane, its best ranks in order; as many as ``room`` says are enough.
        left: The free slots and the tokens of each key that counts.
        limit: How many runs the worker wants.

    Returns:
        Lane to number, without zeros. No key is asked for more than it has, and no run is passed over for one that ranks
        behind it unless a key of its own is used up.
    """
    slots = {key: len(free) for key, free in left.free.items()}
    tokens = dict(left.tokens)
    wanted = {
        each.id: [*((slots, key) for key, _ in each.caps), *((tokens, key) for key in each.paced)] for each in lanes
    }
    taken: dict[int, int] = {}
    for _, number in sorted((rank, number) for number, ranks in heads.items() for rank in ranks):
        if limit and all(stock.get(key, 0) for stock, key in wanted[number]):
            limit -= 1
            taken[number] = taken.get(number, 0) + 1
            for stock, key in wanted[number]:
                stock[key] -= 1
    return taken


def used(lanes: Iterable[Lane]) -> Counter[str]:
    """How many tokens of each key the runs take that come from these lanes, one lane for each run."""
    return Counter(key for each in lanes for key in each.paced)


def assign(runs: Iterable[tuple[str, Lane]], free: Mapping[str, Sequence[int]]) -> list[tuple[str, int, str]]:
    """Give each run one free slot of every key it counts against: (key, slot, run)."""
    at_hand = {key: iter(slots) for key, slots in free.items()}
    return [(key, next(at_hand[key]), run_id) for run_id, each in runs for key, _ in each.caps]


def ready_at(each: Lane, buckets: Mapping[str, Bucket]) -> datetime | None:
    """When a lane is worth a look again, if its key is out of tokens; None if it is not."""
    bucket = buckets.get(each.key) if each.key in each.paced else None
    return next_token_at(bucket) if bucket is not None and not bucket.tokens else None


def next_token(
    lanes: Sequence[Lane], buckets: Mapping[str, Bucket], known: Iterable[datetime | None]
) -> datetime | None:
    """When the next token comes that runs wait for: one of ``known``, or the next of the house, if that is out of them."""
    moments = [moment for moment in known if moment is not None]
    if lanes and HOUSE in buckets and not buckets[HOUSE].tokens:
        moments.append(next_token_at(buckets[HOUSE]))
    return min(moments, default=None)
