"""What the load in the child may still do once its time is over."""

import pytest

from etlplus.engines.contract import boottime_s
from etlplus.engines.control import Interrupted
from etlplus.engines.leash import Leash, memory_peak_bytes


class Untimed(Leash):
    """A leash that leaves the timer of this process alone; a real one would end the tests."""

    @staticmethod
    def _set_timer(seconds):
        assert seconds > 0


def test_nothing_is_committed_past_the_deadline():
    """The load asks right before a commit; the clock decides, not a thread that may be late."""
    leash = Untimed(None, boottime_s() - 0.001)
    with pytest.raises(Interrupted, match="the lease ran out"):
        leash.check()


def test_a_lease_extended_too_late_stays_lost():
    """Somebody else may have the run by now."""
    leash = Untimed(None, boottime_s() - 0.001)
    with pytest.raises(Interrupted):
        leash.check()
    leash._extend(boottime_s() + 1000)
    with pytest.raises(Interrupted, match="the lease ran out"):
        leash.check()


def test_within_the_lease_the_load_goes_on():
    """Asking costs nothing and ends nothing."""
    Untimed(None, boottime_s() + 1000).check()


def test_the_peak_of_memory_is_measured():
    """It is never less than what was in use at once."""
    before = memory_peak_bytes()
    block = bytearray(b"x" * (64 * 2**20))
    assert memory_peak_bytes() >= max(before, len(block))
