"""A lease is one moving deadline that many attempts watch."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from etlplus.engines.contract import Lease, boottime_s


async def test_moving_wakes_everybody_who_waits():
    """Each waiter sees the new deadline."""
    lease, seen = Lease(1.0), []

    async def watch():
        await lease.wait_moved()
        seen.append(lease.deadline)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(watch)
        await wait_all_tasks_blocked()
        lease.move(2.0)
    assert seen == [2.0, 2.0, 2.0]


async def test_a_lease_in_the_past_is_over_at_once():
    """Nobody waits for what has happened."""
    with trio.fail_after(60):
        await Lease(boottime_s() - 1).wait_over()


async def test_a_revoked_lease_is_over():
    """Revoking wakes whoever waits for the end."""
    lease = Lease(boottime_s() + 1000)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lease.wait_over)
            await wait_all_tasks_blocked()
            lease.revoke()
    assert lease.deadline == float("-inf")


async def test_a_lease_that_is_moved_on_is_not_over(autojump_clock):
    """The deadline counts as it is now, not as it was when the waiting began."""
    lease = Lease(5.0, trio.current_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lease.wait_over)
        await wait_all_tasks_blocked()
        lease.move(30.0)
    assert trio.current_time() == pytest.approx(30.0)


def test_the_clock_of_leases_goes_forward():
    """It never steps back, as the wall clock may."""
    times = [boottime_s() for _ in range(100)]
    assert times == sorted(times)
