"""
Cancelling many runs: which of them somebody means, and what became of one stretch of them.

A stretch is one unit of the store, small enough to be in nobody's way; whoever wants all of them asks again with the cursor.
"""

from __future__ import annotations

from datetime import datetime

from etlplus.jobs.model import Run, RunState
from etlplus.service.checking import checked
from etlplus.service.choosing import UnfinishedRuns, refuse_far, refuse_nothing
from etlplus.service.facet import Facet
from etlplus.service.views import RunsCancelled
from etlplus.store.contract import Swept, Unfinished

AT_ONCE_MAX = 1000


async def meant(facet: Facet, which: UnfinishedRuns) -> Unfinished:
    """What the store is asked for.

    Raises:
        Invalid: nothing says which are meant, or what is said cannot be.
        NotFound: there is no such job.
    """
    which = checked(which, UnfinishedRuns, "/which")
    refuse_nothing(which, "runs")
    refuse_far(which, "/which")
    return Unfinished(
        states=tuple(map(RunState, which.states)),
        job_id=(await facet.find_job(which.job)).id if which.job is not None else None,
        queue=await facet.find_queue(which.queue, "/which/queue") if which.queue is not None else None,
        limit_key=which.limit_key,
        made_before=which.made_before,
    )


async def counted(facet: Facet, which: Unfinished) -> RunsCancelled:
    """What would become of all of them."""
    amounts = await facet.house.store.unfinished(which)
    asked = amounts.pop(RunState.RUNNING, 0)
    return RunsCancelled(cancelled=sum(amounts.values()), asked=asked, run_ids=[], dry_run=True)


async def cancelled(facet: Facet, which: Unfinished, now: datetime, limit: int, after: str | None) -> RunsCancelled:
    """One stretch, and who wants to hear of it told."""
    swept = await facet.house.store.cancel_many(which, now=now, limit=limit, after=after)
    facet.announce([*swept.runs, *swept.released])
    return _view(swept)


def _view(swept: Swept) -> RunsCancelled:
    asked = sum(map(_carried, swept.runs))
    return RunsCancelled(
        cancelled=len(swept.runs) - asked,
        asked=asked,
        run_ids=[run.id for run in swept.runs],
        dry_run=False,
        next_cursor=swept.last,
    )


def _carried(run: Run) -> bool:
    return run.state is RunState.RUNNING
