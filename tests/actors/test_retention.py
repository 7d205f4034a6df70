"""The retention duty: rounds until nothing is left to remove, then once an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import trio
from trio.testing import MockClock

from etlplus.actors.messages import RETENTION
from etlplus.actors.retention import Retention
from etlplus.app.staff import new_standing
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.retention import Keep
from etlplus.runtime import Supervisor, child, open_system
from etlplus.store.contract import RunFilter
from etlplus.store.sqlite.body import open_sqlite

MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400.0


async def test_history_goes_when_it_is_old_and_what_is_unfinished_stays(autojump_clock: MockClock) -> None:
    """Two days later, with one day to keep: cancelled runs are gone within the hour, the queued one is there."""
    standing = new_standing(1)
    standing.now = lambda: MADE_AT + timedelta(seconds=2 * DAY_S + trio.current_time())
    async with open_sqlite(None, Random(1)) as store:
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=MADE_AT)
        runs = await store.enqueue([NewRun(job_id=job.id)] * 1500, now=MADE_AT)
        for run in runs[1:]:
            await store.cancel(run.id, now=MADE_AT)
        tree = Supervisor(child(RETENTION, lambda: Retention(store, standing, Keep(age_s=DAY_S))))
        async with open_system(tree):
            await trio.sleep(3600)
        assert [run.id for run in await store.runs(limit=1000)] == [runs[0].id]
        assert await store.runs(RunFilter(states=(RunState.CANCELLED,))) == []
