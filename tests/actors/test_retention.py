"""The retention duty: rounds until nothing is left to remove, then once an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import trio
from trio.testing import MockClock

from etlplus.actors.messages import RETENTION
from etlplus.actors.retention import Retention
from etlplus.app.staff import new_standing
from etlplus.errors import StoreUnavailable
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.retention import Keep, Tidied
from etlplus.runtime import Supervisor, child, open_system
from etlplus.store.contract import RunFilter
from etlplus.store.sqlite.body import open_sqlite

MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400.0


async def test_history_goes_when_it_is_old_and_what_is_unfinished_stays(autojump_clock: MockClock) -> None:
    """Two days later, with one day to keep: cancelled runs are gone a moment later, however many rounds it takes."""
    standing = new_standing(1)
    standing.now = lambda: MADE_AT + timedelta(seconds=2 * DAY_S + trio.current_time())
    async with open_sqlite(None, Random(1)) as store:
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=MADE_AT)
        runs = await store.enqueue([NewRun(job_id=job.id)] * 1500, now=MADE_AT)
        for run in runs[1:]:
            await store.cancel(run.id, now=MADE_AT)
        tree = Supervisor(child(RETENTION, lambda: Retention(store, standing, Keep(age_s=DAY_S))))
        async with open_system(tree):
            await trio.sleep(1)
        assert [run.id for run in await store.runs(limit=1000)] == [runs[0].id]
        assert await store.runs(RunFilter(states=(RunState.CANCELLED,))) == []


class Fickle:
    """A store that refuses its first tidying."""

    def __init__(self) -> None:
        self.asked = 0

    async def tidy(self, keep: Keep, *, now: datetime, limit: int = 1000) -> Tidied:
        self.asked += 1
        if self.asked == 1:
            raise StoreUnavailable("away")
        return Tidied()


async def test_a_round_that_fails_is_not_the_last(autojump_clock: MockClock) -> None:
    """The store may be out when it is due; within two hours it is tidied again, and again."""
    store = Fickle()
    tree = Supervisor(child(RETENTION, lambda: Retention(store, new_standing(1), Keep())))  # type: ignore[arg-type]
    async with open_system(tree):
        await trio.sleep(2.5 * 3600)
    assert store.asked == 3
