"""The completer: an outcome that cannot be written holds up no other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import trio
from trio.testing import MockClock

from etlplus.actors.newsroom import Newsroom
from etlplus.app.staff import new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.errors import Invalid
from etlplus.jobs.kinds import CALLS
from etlplus.jobs.model import JobDraft, NewRun, Run, RunState
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.runtime import open_system
from etlplus.settings import Settings
from etlplus.store.contract import Outcome, Settled
from etlplus.store.sqlite.body import SqliteStore, open_sqlite

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
RUNS = 20
SOON_S = 60.0
"""By then everybody has tried again, many times."""


def virtual_now() -> datetime:
    return EPOCH + timedelta(seconds=trio.current_time())


class Choosy:
    """A store that cannot write that some runs have succeeded; all else it does."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.spoilt: dict[str, Exception] = {}
        self.left: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def acknowledge(self, outcomes: Sequence[Outcome], *, now: datetime) -> list[Settled]:
        for each in outcomes:
            if isinstance(each.result, Succeeded) and (error := self.spoilt.get(each.run_id)):
                raise error
        return await self._store.acknowledge(outcomes, now=now)


@asynccontextmanager
async def house(*spoilt: Exception) -> AsyncGenerator[tuple[Choosy, list[Run]]]:
    """A staff that has carried out some calls at once, of which the first ones cannot be written down, for these reasons."""

    async def call(work: Work, lease: Lease, reports: Reports) -> Result:
        await trio.sleep(1)
        return Succeeded(Figures())

    standing = new_standing(1, calls_max=RUNS, labels=(CALLS + "call",))
    standing.now, standing.boottime_s = virtual_now, trio.current_time
    standing.lease = Lease(float("-inf"), trio.current_time)
    async with open_sqlite(None, Random(1)) as store:
        choosy = Choosy(store)
        job = await store.save_job(JobDraft(name="call", python="call"), now=virtual_now())
        runs = await store.enqueue([NewRun(job_id=job.id)] * RUNS, now=virtual_now())
        choosy.spoilt = {run.id: error for run, error in zip(runs, spoilt, strict=False)}
        tree = staff(choosy, Inline(call), standing, Newsroom(virtual_now), Settings())  # type: ignore[arg-type]  # all that a store is
        async with open_system(tree, seed=1):
            await trio.sleep(SOON_S)
            yield choosy, runs
        await store.leave(standing.worker.id, now=virtual_now())  # as whoever opens the staff does after it has stopped
        choosy.left = (await store.counts()).runs


async def test_an_outcome_that_cannot_be_written_holds_up_no_other(autojump_clock: MockClock) -> None:
    """It is told again and again, after all others, until the store can write it."""
    async with house(ValueError("no"), KeyError("no")) as (store, runs):
        assert (await store.counts()).runs[RunState.SUCCEEDED] == RUNS - 2
        assert [(await store.run(run.id)).state for run in runs[:2]] == [RunState.RUNNING] * 2
        store.spoilt.clear()
        await trio.sleep(SOON_S)
        assert (await store.counts()).runs[RunState.SUCCEEDED] == RUNS


async def test_an_outcome_that_the_store_refuses_is_a_failure_that_says_so(autojump_clock: MockClock) -> None:
    """Nothing would become of it however often it were told."""
    async with house(Invalid("too many figures")) as (store, runs):
        assert (await store.counts()).runs[RunState.SUCCEEDED] == RUNS - 1
        refused = await store.run(runs[0].id)
    assert (refused.state, refused.error and refused.error.code) == (RunState.FAILED, "internal")
    assert refused.error
    assert "too many figures" in refused.error.message


async def test_a_worker_stops_though_an_outcome_cannot_be_written(autojump_clock: MockClock) -> None:
    """It has tried each once more; then the runs go back to their queue, as whatever a worker holds when it leaves."""
    with trio.fail_after(3 * SOON_S):
        async with house(ValueError("no"), ValueError("no")) as (store, _):
            pass
    assert (store.left[RunState.QUEUED], store.left[RunState.SUCCEEDED]) == (2, RUNS - 2)
