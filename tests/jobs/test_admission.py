"""The choice that a claim makes: by rank, within every limit, and nothing left out that could go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etlplus.jobs.admission import Lane, assign, caps, choose, lane, room


def test_a_lane_counts_against_what_there_is() -> None:
    """House, queue and key, each only if it has a limit."""
    full = lane(1, "q", "k", house=9, of_queue=8, of_key=7)
    assert full == Lane(1, "k", (("*", 9), ("/queue/q", 8), ("k", 7)))
    assert lane(2, "q", "", house=None, of_queue=None, of_key=None) == Lane(2)
    assert caps([full, lane(3, "r", "", house=9, of_queue=2, of_key=None)]) == {
        "*": 9, "/queue/q": 8, "k": 7, "/queue/r": 2,
    }  # fmt: skip


def test_rank_decides_until_a_key_is_used_up() -> None:
    """Behind a used-up key the next lane goes on."""
    a, b = Lane(1, "a", (("a", 1),)), Lane(2)
    heads = {1: [(1, "x"), (2, "y")], 2: [(3, "z")]}
    assert choose([a, b], heads, {"a": [4]}, 9) == {1: 1, 2: 1}
    assert choose([a, b], heads, {"a": [4]}, 1) == {1: 1}
    assert choose([a, b], heads, {"a": []}, 9) == {2: 1}


def test_every_run_gets_a_slot_of_each_key() -> None:
    """No slot is given twice."""
    both = Lane(1, "a", (("*", 5), ("a", 2)))
    given_ = assign([("x", both), ("y", both)], {"*": [1, 2, 3], "a": [7, 9]})
    assert given_ == [("*", 1, "x"), ("a", 7, "x"), ("*", 2, "y"), ("a", 9, "y")]


@given(
    lanes=st.lists(
        st.tuples(st.sampled_from("pq"), st.sampled_from(["", "a", "b"]), st.lists(st.integers(0, 50))), max_size=6
    ),
    house=st.none() | st.integers(0, 6),
    of_queue=st.none() | st.integers(0, 4),
    of_key=st.integers(0, 3),
    limit=st.integers(1, 12),
)
def test_the_choice_is_within_limits_and_leaves_nothing(
    lanes: list[tuple[str, str, list[int]]], house: int | None, of_queue: int | None, of_key: int, limit: int
) -> None:
    """Of no key more than it has; what is passed over had a used-up key, or ranks behind all that were taken."""
    all_lanes = [
        lane(number, queue, key, house=house, of_queue=of_queue, of_key=of_key)
        for number, (queue, key, _) in enumerate(lanes)
    ]
    free = {key: list(range(slots)) for key, slots in caps(all_lanes).items()}
    heads = {
        number: sorted((rank, f"{number}-{place}") for place, rank in enumerate(ranks))[
            : room(all_lanes[number], free, limit)
        ]
        for number, (_, _, ranks) in enumerate(lanes)
    }
    taken = choose(all_lanes, heads, free, limit)
    used = {key: sum(taken.get(each.id, 0) for each in all_lanes if key in dict(each.caps)) for key in free}
    assert sum(taken.values()) <= limit
    assert all(used[key] <= len(free[key]) for key in free)
    if sum(taken.values()) < limit:
        for each in all_lanes:
            left = len(heads[each.id]) - taken.get(each.id, 0)
            assert not left or any(used[key] == len(free[key]) for key, _ in each.caps)
