"""
The clock of leases, the same for the daemon and its children.
"""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime_s() -> float:
    """Seconds on a clock that goes on while the machine is suspended, where there is one: a lease runs out in sleep too.

    All processes of a machine read the same clock, so a deadline may be sent to a child as it is.
    """
    return time.clock_gettime(_CLOCK)
