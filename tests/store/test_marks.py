"""Where a claim begins to look: behind what was claimed, and never behind what waits."""

from __future__ import annotations

from etlplus.store.postgres.marks import BOTTOM, Marks
from etlplus.testing.stores import at


def passed(marks: Marks, seconds: float, run_id: str = "r") -> None:
    """A claim that takes everything up to a rank, and ends well."""
    marks.passed({1: (at(seconds), run_id)}, marks.begin(at(0)), 0.001)


def test_a_claim_begins_where_the_last_one_ended() -> None:
    """Lanes that nothing was taken from begin at the bottom."""
    marks = Marks()
    passed(marks, 5)
    assert (marks.of(1), marks.of(2)) == ((at(5), "r"), BOTTOM)


def test_what_comes_in_below_lowers_the_mark_to_itself() -> None:
    """No further: what lies below that is claimed as before. What comes in above changes nothing."""
    marks = Marks()
    passed(marks, 5)
    marks.stir(at(7))
    assert marks.of(1) == (at(5), "r")
    marks.stir(at(3))
    assert marks.of(1) == (at(3), "")
    marks.stir(at(5))
    assert marks.of(1) == (at(3), "")


def test_what_comes_in_at_the_same_rank_may_have_any_id() -> None:
    """Ids of several processes are in no order."""
    marks = Marks()
    passed(marks, 5)
    marks.stir(at(5))
    assert marks.of(1) == (at(5), "")


def test_something_unknown_lowers_every_mark() -> None:
    """Where something came in that nobody can place, claims begin at the bottom."""
    marks = Marks()
    passed(marks, 5)
    marks.stir()
    assert marks.of(1) == BOTTOM


def test_what_comes_in_during_a_claim_leaves_its_mark_unbelieved() -> None:
    """The claim may have looked before it came."""
    marks = Marks()
    begun = marks.begin(at(0))
    marks.stir(at(3))
    marks.passed({1: (at(5), "r")}, begun, 0.001)
    assert marks.of(1) == BOTTOM


def test_marks_are_forgotten_once_a_second() -> None:
    """Other processes tell nothing; within a second what they put in below is found."""
    marks = Marks()
    passed(marks, 5)
    marks.begin(at(0.9))
    assert marks.of(1) == (at(5), "r")
    marks.begin(at(1.1))
    assert marks.of(1) == BOTTOM


def test_where_looking_from_the_bottom_takes_long_it_is_done_less_often() -> None:
    """It takes a fiftieth of the time, at most."""
    marks = Marks()
    marks.passed({1: (at(5), "r")}, marks.begin(at(0)), 0.1)
    marks.begin(at(4.9))
    assert marks.of(1) == (at(5), "r")
    quick = marks.begin(at(5.1))
    assert marks.of(1) == BOTTOM
    marks.passed({1: (at(6), "r")}, quick, 0.001)
    marks.begin(at(6.2))
    assert marks.of(1) == BOTTOM
