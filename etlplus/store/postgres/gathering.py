"""
Plain wishes that come at about the same time, made by one statement.

While one statement is under way, whoever wishes for a run meanwhile waits for the next, which takes all of them. It is a single
statement, so it needs no transaction around it, and it never waits for anybody's lock. It makes what can be made at a glance:
runs without keys or limits, of a job that is still as this process last saw it, in an open lane that is there. Whether that is
so is judged by the statement itself. What it leaves out is refused nothing: its caller makes it in a unit of its own, as if
nothing had been tried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import trio

from etlplus.errors import Invalid, StoreUnavailable
from etlplus.jobs import transitions
from etlplus.jobs.checks import check_wish
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, NewRun, Run
from etlplus.jobs.queues import QueueMode
from etlplus.jobs.recent import Recent
from etlplus.jobs.ticks import SCHEDULED
from etlplus.store.postgres.bridge import Bridge
from etlplus.store.postgres.records import columns, encode
from etlplus.store.postgres.sql import runs as sql

GROUP_MAX = 500
SEEN_MAX = 1000


class _Waiting:
    """A run that shall be made, and the task that waits for it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.row = _row(run)
        self.done = trio.Event()
        self.made = False
        self.error: Exception | None = None


class Gathering:
    """See the module.

    Args:
        made: Is told of runs as soon as they are there.
    """

    def __init__(self, bridge: Bridge, ids: Ids, made: Callable[[Sequence[Run], datetime], None]) -> None:
        self._bridge = bridge
        self._ids = ids
        self._made = made
        self._jobs = Recent[Job](SEEN_MAX)
        self._waiting: deque[_Waiting] = deque()
        self._under_way = False

    def saw(self, job: Job) -> Job:
        """Remember how a job is now."""
        return self._jobs.put(job.id, job)

    async def make(self, wish: NewRun, now: datetime) -> Run | None:
        """The run that was made, or None if the wish needs more than a glance; then nothing was done.

        Cancellation: a wish that is on its way already may be made.
        """
        job = self._jobs.get(wish.job_id)
        if job is None or not _plain(wish, job):
            return None
        run, _ = transitions.enqueue(wish, job, self._ids.new(now), now)
        waiting = _Waiting(run)
        self._waiting.append(waiting)
        if not self._under_way:
            self._under_way = True
            trio.lowlevel.spawn_system_task(self._make_all)  # no caller's cancellation ends what others wait for
        try:
            await waiting.done.wait()
        except trio.Cancelled:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            raise
        if waiting.error is not None:
            raise waiting.error
        return run if waiting.made else None

    async def _make_all(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(GROUP_MAX, len(self._waiting)))]
            try:
                await self._put(group)
            except Invalid:
                pass  # somebody's wish cannot be kept; each is made alone, and that one hears of it
            except Exception as error:  # noqa: BLE001 - handed to the callers, who raise it
                for each in group:
                    each.error = StoreUnavailable(error.message) if isinstance(error, StoreUnavailable) else error
            for each in group:
                each.done.set()
        self._under_way = False

    async def _put(self, group: Sequence[_Waiting]) -> None:
        rows = await self._bridge.run(
            lambda db: db.fetch(sql.PUT_PLAIN_RUNS, *columns([each.row for each in group])), atomic=False
        )
        there = {row["id"] for row in rows}
        for each in group:
            each.made = each.run.id in there
        if made := [each.run for each in group if each.made]:
            self._made(made, max(run.created_at for run in made))


def _plain(wish: NewRun, job: Job) -> bool:
    if wish.unique_key is not None or job.limit is not None or wish.job_version not in (None, job.version):
        return False
    return not check_wish(wish, job, QueueMode.OPEN)


def _row(run: Run) -> tuple[Any, ...]:
    return (
        run.id, run.job_id, run.job_version, run.queue, ",".join(run.labels), run.state, run.rank_at, run.run_at,
        run.waits_until, run.cause == SCHEDULED, encode(run),
    )  # fmt: skip
