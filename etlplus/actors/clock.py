"""
The time that all nodes of a store go by: the store's own, carried on by each machine until it looks again.

No two machines agree about the time, and now and then one is wrong by hours. Leases, schedules and time limits compare what
different nodes wrote down, so a node that went by its own clock could take healthy workers for lost, make runs before their
time, or fail what has hardly waited. A store that has no clock of its own is one machine's alone, and that machine's will do.

When somebody sets the clock of the store, or puts another machine in its place, one node hears of it sooner than another, and
until all have asked they are apart by as much as it has jumped. So a lease is written down by the latest time that may count
when it is judged, and judged by the earliest: nobody is taken for lost who may believe that he holds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from etlplus.store.contract import LeaseStore


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store told: the time was between ``earliest`` and ``latest`` when it was heard, and was taken for ``at``."""

    heard_at_s: float
    earliest: datetime
    at: datetime
    latest: datetime


class SharedClock:
    """See the module.

    Args:
        machine_now: What this machine takes for the time; counts until the store has told.
        boottime_s: A clock of the machine that nobody sets; carries the store's time on.
        memory_s: How long answers are remembered after the next one; as long as a lease.
    """

    def __init__(
        self, machine_now: Callable[[], datetime], boottime_s: Callable[[], float], *, memory_s: float
    ) -> None:
        self._machine_now = machine_now
        self._boottime_s = boottime_s
        self._memory_s = memory_s
        self._answers: deque[Answer] = deque()
        self._shared = False

    def now(self) -> datetime:
        """What time it is."""
        if not self._shared:
            return self._machine_now()
        return self._carried_on(self._answers[-1], self._answers[-1].at)

    def earliest(self) -> datetime:
        """The earliest of what it is by all answers that are remembered. A lease that is over by this is over."""
        if not self._answers:
            return self._machine_now()
        self._forget()
        return min(self._carried_on(answer, answer.earliest) for answer in self._answers)

    def latest(self) -> datetime:
        """The latest of it. A lease that is written down by this is not judged too early."""
        if not self._answers:
            return self._machine_now()
        self._forget()
        return max(self._carried_on(answer, answer.latest) for answer in self._answers)

    async def look(self, store: LeaseStore) -> None:
        """Ask the store. Its answer was true at some moment since it was asked; a clock that can be right within that stays as
        it is, so that slow answers disturb nothing.

        Raises:
            StoreUnavailable: it did not answer; nothing was changed.
        """
        asked_at_s = self._boottime_s()
        earliest = await store.time()
        if earliest is None:
            moment = self._machine_now()
            self._remember(Answer(self._boottime_s(), moment, moment, moment))
            return
        heard_at_s = self._boottime_s()
        travelled = timedelta(seconds=heard_at_s - asked_at_s)
        believed = self.now() if self._shared else earliest + travelled / 2
        self._shared = True
        at = min(max(believed, earliest), earliest + travelled)
        self._remember(Answer(heard_at_s, earliest, at, earliest + travelled))

    def _remember(self, answer: Answer) -> None:
        self._answers.append(answer)
        self._forget()

    def _carried_on(self, answer: Answer, moment: datetime) -> datetime:
        return moment + timedelta(seconds=self._boottime_s() - answer.heard_at_s)

    def _forget(self) -> None:
        """An answer counts until the next one came, and is remembered for a while after that."""
        while len(self._answers) > 1 and self._answers[1].heard_at_s < self._boottime_s() - self._memory_s:
            self._answers.popleft()
