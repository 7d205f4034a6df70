"""Specs are checked when they are made: what makes no sense is refused with what would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from actor_kit import A, notebook

from etlplus.runtime import Backoff, Dynamic, Intensity, Mailbox, Name, Pool, Spawner, Supervisor

NAN = float("nan")
wrong: Any = "sometimes"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Backoff(first_s=-1), "first_s of a backoff is at least 0, not -1"),
        (lambda: Backoff(cap_s=NAN), "cap_s of a backoff is at least 0, not nan"),
        (lambda: Backoff(factor=0.5), "factor of a backoff is at least 1 and at most 1000.0, not 0.5"),
        (lambda: Backoff(jitter=1.1), "jitter of a backoff is at least 0 and at most 1, not 1.1"),
        (lambda: Backoff(reset_after_s=-1), "reset_after_s of a backoff is at least 0, not -1"),
        (lambda: Intensity(-1), "restarts of an intensity is at least 0, not -1"),
        (lambda: Intensity(1, -1), "within_s of an intensity is at least 0, not -1"),
        (lambda: Mailbox(0), "capacity of a mailbox is at least 1, not 0"),
        (lambda: Mailbox(1, wrong), "overflow of a mailbox is one of fail, drop_oldest, keep_latest, not 'sometimes'"),
        (
            lambda: notebook(A, [], restart=wrong),
            "restart of 'a' is one of permanent, transient, temporary, not 'somet",
        ),
        (lambda: notebook(A, [], shutdown=-1), "shutdown of 'a' is at least 0, not -1"),
        (lambda: notebook(A, [], start_within=NAN), "start_within of 'a' is at least 0, not nan"),
        (
            lambda: Supervisor(strategy=wrong, name="s"),
            "strategy of 's' is one of one_for_one, one_for_all, rest_for_one",
        ),
        (lambda: Dynamic(Name[Spawner]("d"), children_max=-1), "children_max of 'd' is at least 0, not -1"),
        (lambda: Pool(A, lambda: wrong, size=0), "size of pool 'a' is at least 1, not 0"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], says: str) -> None:
    """The message names what is wrong, what would be right, and what was given."""
    with pytest.raises(ValueError, match=says):
        make()


def test_the_longest_backoff_is_a_number() -> None:
    """However often an actor crashes, and however steep the schedule is."""
    from random import Random

    assert Backoff(factor=1000, cap_s=30, jitter=0).wait_s(10**6, Random(0)) == 30
