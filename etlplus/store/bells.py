"""
Bells: how nodes on one store wake each other. None says more than where to look: who hears one looks into the store.

What is done through a store pulls bells; they are kept until somebody rings them, so that many units of work in a short time
ring once. A bell that is lost costs time and nothing else, since every node also looks of itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import trio

from etlplus.jobs.kinds import calls_function
from etlplus.jobs.model import Run, RunState

SOON_S = 1.0
"""What is due later than in so long, every node finds in time by itself: its scheduler looks at least that often."""


class Bell(StrEnum):
    """What has happened, and who should look."""

    WORK = "work"
    """Something can be claimed that could not be before, of either kind of runs: dispatchers."""
    CALLS = "calls"
    """The same, and it is runs that call functions of the program."""
    PROCESSES = "processes"
    """The same, and it is runs that need a process, as all others do."""
    ROOM = "room"
    """Slots under a limit are free: dispatchers whose runs wait for some."""
    PLANS = "plans"
    """Something is due earlier than was known: schedulers."""
    HEED = "heed"
    """Something is asked of workers; the answer to their next beat says what: heartbeats."""
    NEWS = "news"
    """Somebody has published a bulletin: whoever has watchers."""
    TEST = "test"
    """Comes back to the store that rang it, and to nobody else: whoever hears it knows that bells arrive."""


EVERYBODYS = frozenset(Bell) - {Bell.TEST}
WORK_OF: dict[Bell, bool | None] = {Bell.WORK: None, Bell.CALLS: True, Bell.PROCESSES: False}
"""The bells for work, and whether the runs of which each tells call functions; None: some may, and some may not."""
AT_FIRST = EVERYBODYS - WORK_OF.keys() | {Bell.WORK}
"""What is said to whoever begins to hear: all there is."""


class Pulled:
    """The bells that were pulled and have not been rung."""

    def __init__(self) -> None:
        self._bells: set[Bell] = set()
        self._some = trio.Event()

    def pull(self, *bells: Bell) -> None:
        """Have these rung."""
        self._bells.update(bells)
        self._some.set()

    def pull_for(self, runs: Iterable[Run], now: datetime) -> None:
        """Have rung what other nodes want to hear of runs that were made or made a transition."""
        soon = now + timedelta(seconds=SOON_S)
        if bells := {bell for run in runs if (bell := _bell_of(run, soon)) is not None}:
            self.pull(*bells)

    def take(self) -> frozenset[Bell]:
        """What is to be rung now, for both kinds of work one bell; whoever cannot do it pulls it again."""
        bells, self._bells = frozenset(self._bells), set()
        if bells:
            self._some = trio.Event()
        works = bells & WORK_OF.keys()
        return bells - works | {Bell.WORK} if len(works) > 1 else bells

    async def wait(self) -> None:
        """Return once there is something to be rung."""
        await self._some.wait()


def _bell_of(run: Run, soon: datetime) -> Bell | None:
    if run.state is RunState.QUEUED:
        return Bell.CALLS if calls_function(run.labels) else Bell.PROCESSES
    if run.state is RunState.SCHEDULED and run.run_at < soon:
        return Bell.PLANS
    if run.state is RunState.RUNNING and run.cancel_requested:
        return Bell.HEED
    return None
