"""The clock that nodes share: right within the time that an answer took, whatever the machine believes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import pytest

from etlplus.actors.clock import SharedClock
from etlplus.errors import StoreUnavailable
from etlplus.store.sqlite.body import open_sqlite

TRUE = datetime(2026, 3, 1, tzinfo=UTC)
WRONG = TRUE + timedelta(days=3)
LEASE_S = 20.0


class Desk:
    """A store that knows the time, and whose answers travel: ``there_s`` on the way there, ``back_s`` on the way back."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.there_s = self.back_s = 0.0
        self.out = False

    async def time(self) -> datetime:
        self.passed_s += self.there_s
        if self.out:
            raise StoreUnavailable("out")
        told = TRUE + timedelta(seconds=self.passed_s)
        self.passed_s += self.back_s
        return told

    def clock(self) -> SharedClock:
        return SharedClock(lambda: WRONG, lambda: self.passed_s, memory_s=LEASE_S)

    def error_s(self, clock: SharedClock) -> float:
        return (clock.now() - TRUE).total_seconds() - self.passed_s


async def asked(desk: Desk, clock: SharedClock, there_s: float, back_s: float) -> float:
    """The error of the clock after it has asked."""
    desk.there_s, desk.back_s = there_s, back_s
    await clock.look(cast("Any", desk))
    return desk.error_s(clock)


async def test_a_clock_that_is_days_off_is_right_after_one_answer() -> None:
    """Its error is at most half of the time that the answer took, and the machine's own clock plays no part any more."""
    desk = Desk()
    clock = desk.clock()
    assert clock.now() == WRONG
    assert abs(await asked(desk, clock, 0.3, 0.1)) <= 0.2
    desk.passed_s += 3600
    assert abs(desk.error_s(clock)) <= 0.2


async def test_a_slow_answer_disturbs_nothing_and_a_quick_one_sets_right() -> None:
    """A clock that can be right stays; else it moves as little as the answer demands."""
    desk = Desk()
    clock = desk.clock()
    assert await asked(desk, clock, 0.0, 0.0) == 0
    assert await asked(desk, clock, 9.0, 0.5) == pytest.approx(0)
    assert await asked(desk, clock, 0.5, 9.0) == pytest.approx(0)
    rough = desk.clock()
    assert await asked(desk, rough, 2.0, 0.0) == pytest.approx(1.0)
    assert await asked(desk, rough, 0.1, 0.1) == pytest.approx(0.1)


async def test_a_store_that_is_out_leaves_the_clock_alone() -> None:
    """The clock goes on from the last answer."""
    desk = Desk()
    clock = desk.clock()
    await asked(desk, clock, 0.0, 0.0)
    desk.out = True
    with pytest.raises(StoreUnavailable):
        await asked(desk, clock, 30.0, 0.0)
    assert desk.error_s(clock) == 0


async def test_a_store_of_one_machine_has_no_clock_but_that_machine() -> None:
    """With SQLite, the time is what the machine takes for it."""
    desk = Desk()
    clock = desk.clock()
    async with open_sqlite(None, Random(1)) as store:
        await clock.look(store)
    assert clock.now() == WRONG
