"""
Bells: how nodes on one store wake each other, without words. Who hears one looks into the store.

What is done through a store pulls bells; they are kept until somebody rings them, so that many units of work in a short time
ring once. A bell that is lost costs time and nothing else, since every node also looks of itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import trio

from etlplus.jobs.model import Run, RunState

SOON_S = 1.0
"""What is due later than in so long, every node finds in time by itself: its scheduler looks at least that often."""


class Bell(StrEnum):
    """What has happened, and who should look."""

    WORK = "work"
    """Something can be claimed that could not be before: dispatchers."""
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
        """What is to be rung now; whoever cannot do it pulls it again."""
        bells, self._bells = frozenset(self._bells), set()
        if bells:
            self._some = trio.Event()
        return bells

    async def wait(self) -> None:
        """Return once there is something to be rung."""
        await self._some.wait()


def _bell_of(run: Run, soon: datetime) -> Bell | None:
    if run.state is RunState.QUEUED:
        return Bell.WORK
    if run.state is RunState.SCHEDULED and run.run_at < soon:
        return Bell.PLANS
    if run.state is RunState.RUNNING and run.cancel_requested:
        return Bell.HEED
    return None
