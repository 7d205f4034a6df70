"""The choice that a claim makes: by rank, within every limit, and nothing left out that could go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etlplus.jobs.admission import Lane, Left, Rule, assign, caps, choose, lane, paced, room, used


def test_a_lane_counts_against_what_there_is() -> None:
    """House, queue and key, each only if it has a limit."""
    full = lane(1, "q", "k", house=Rule(9, paced=True), of_queue=8, of_key=Rule(7, paced=True))
    assert full == Lane(1, "k", (("*", 9), ("/queue/q", 8), ("k", 7)), ("*", "k"))
    assert lane(2, "q", "") == Lane(2)
    assert paced([full, lane(3, "r", "s", of_key=Rule(paced=True))]) == ["*", "k", "s"]
    assert caps([full, lane(3, "r", "", house=Rule(9), of_queue=2)]) == {
        "*": 9, "/queue/q": 8, "k": 7, "/queue/r": 2,
    }  # fmt: skip


def test_rank_decides_until_a_key_is_used_up() -> None:
    """Behind a used-up key the next lane goes on."""
    a, b = Lane(1, "a", (("a", 1),)), Lane(2)
    heads = {1: [(1, "x"), (2, "y")], 2: [(3, "z")]}
    assert choose([a, b], heads, Left({"a": [4]}, {}), 9) == {1: 1, 2: 1}
    assert choose([a, b], heads, Left({"a": [4]}, {}), 1) == {1: 1}
    assert choose([a, b], heads, Left({"a": []}, {}), 9) == {2: 1}


def test_every_run_takes_a_token_of_each_key_that_has_a_rate() -> None:
    """Slots that are free help nobody without a token."""
    a, b = Lane(1, "a", (("a", 9),), ("*", "a")), Lane(2, paced=("*",))
    heads = {1: [(1, "x"), (2, "y")], 2: [(3, "z"), (4, "zz")]}
    left = Left({"a": [1, 2, 3]}, {"*": 2, "a": 1})
    assert (room(a, left, 9), room(b, left, 9)) == (1, 2)
    assert choose([a, b], heads, left, 9) == {1: 1, 2: 1}
    assert used([a, b]) == {"*": 2, "a": 1}


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
    tokens=st.none() | st.integers(0, 5),
    limit=st.integers(1, 12),
)
def test_the_choice_is_within_limits_and_leaves_nothing(
    lanes: list[tuple[str, str, list[int]]],
    house: int | None,
    of_queue: int | None,
    of_key: int,
    tokens: int | None,
    limit: int,
) -> None:
    """Of no key more than it has; what is passed over had a used-up key, or ranks behind all that were taken."""
    all_lanes = [
        lane(number, queue, key, house=Rule(house, paced=tokens is not None), of_queue=of_queue, of_key=Rule(of_key))
        for number, (queue, key, _) in enumerate(lanes)
    ]
    free = {key: list(range(slots)) for key, slots in caps(all_lanes).items()}
    left = Left(free, {"*": tokens} if tokens is not None else {})
    heads = {
        number: sorted((rank, f"{number}-{place}") for place, rank in enumerate(ranks))[
            : room(all_lanes[number], left, limit)
        ]
        for number, (_, _, ranks) in enumerate(lanes)
    }
    taken = choose(all_lanes, heads, left, limit)
    taken_of = {key: sum(taken.get(each.id, 0) for each in all_lanes if key in dict(each.caps)) for key in free}
    assert sum(taken.values()) <= limit
    assert all(taken_of[key] <= len(free[key]) for key in free)
    assert tokens is None or sum(taken.values()) <= tokens
    if sum(taken.values()) < min(limit, limit if tokens is None else tokens):
        for each in all_lanes:
            waiting = len(heads[each.id]) - taken.get(each.id, 0)
            assert not waiting or any(taken_of[key] == len(free[key]) for key, _ in each.caps)
