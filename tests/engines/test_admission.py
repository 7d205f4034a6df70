"""Attempts go in while the sum of their memory fits, in the order in which they came."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from etlplus.engines.admission import Admission
from etlplus.engines.contract import Lease

FOREVER = Lease(float("inf"))


@pytest.fixture
def gate():
    return Admission(100)


async def enter(gate, wanted, entered, leave):
    async with gate.admit(wanted, FOREVER):
        entered.append(wanted)
        await leave.wait()


async def test_a_large_attempt_is_not_overtaken_by_small_ones(gate):
    """The small one that would fit waits behind the large one that came first."""
    entered, first, rest = [], trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        for wanted, leave in ((60, first), (90, rest), (10, rest)):
            nursery.start_soon(enter, gate, wanted, entered, leave)
            await wait_all_tasks_blocked()
        assert entered == [60]
        first.set()
        await wait_all_tasks_blocked()
        assert entered == [60, 90, 10]
        rest.set()


async def test_an_attempt_larger_than_the_budget_goes_in_alone(gate):
    """It is not refused for ever, and nobody goes in beside it."""
    entered, leave = [], trio.Event()
    async with trio.open_nursery() as nursery:
        for wanted in (1000, 1):
            nursery.start_soon(enter, gate, wanted, entered, leave)
            await wait_all_tasks_blocked()
        assert entered == [1000]
        leave.set()
    assert entered == [1000, 1]


async def test_whoever_gives_up_waiting_takes_nothing(gate):
    """After a cancelled wait the whole budget is there."""
    entered, leave, scope = [], trio.Event(), trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(enter, gate, 100, entered, leave)
        await wait_all_tasks_blocked()

        async def give_up():
            with scope:
                await enter(gate, 50, entered, leave)

        nursery.start_soon(give_up)
        await wait_all_tasks_blocked()
        scope.cancel()
        await wait_all_tasks_blocked()
        leave.set()
    async with gate.admit(100, FOREVER) as admitted:
        assert admitted
    assert entered == [100]
