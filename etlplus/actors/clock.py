"""
The time that all nodes of a store go by: the store's own, carried on by each machine until it looks again.

No two machines agree about the time, and now and then one is wrong by hours. Leases, schedules and time limits compare what
different nodes wrote down, so a node that went by its own clock could take healthy workers for lost, make runs before their
time, or fail what has hardly waited. A store that has no clock of its own is one machine's alone, and that machine's will do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from etlplus.store.contract import LeaseStore


class SharedClock:
    """See the module.

    Args:
        machine_now: What this machine takes for the time; counts until the store has told.
        boottime_s: A clock of the machine that nobody sets; carries the store's time on.
    """

    def __init__(self, machine_now: Callable[[], datetime], boottime_s: Callable[[], float]) -> None:
        self._machine_now = machine_now
        self._boottime_s = boottime_s
        self._told: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """What time it is."""
        if self._told is None:
            return self._machine_now()
        at, heard_at_s = self._told
        return at + timedelta(seconds=self._boottime_s() - heard_at_s)

    async def look(self, store: LeaseStore) -> None:
        """Ask the store. Its answer was true at some moment since it was asked; a clock that can be right within that stays as
        it is, so that slow answers disturb nothing.

        Raises:
            StoreUnavailable: it did not answer; nothing was changed.
        """
        asked_at_s = self._boottime_s()
        earliest = await store.time()
        if earliest is None:
            return
        heard_at_s = self._boottime_s()
        travelled = timedelta(seconds=heard_at_s - asked_at_s)
        believed = self.now() if self._told is not None else earliest + travelled / 2
        self._told = min(max(believed, earliest), earliest + travelled), heard_at_s
