"""The exam on parameters: the store that makes a run judges it, by the version of the job that it is made from."""

from __future__ import annotations

import pytest

from etlplus.errors import Invalid
from etlplus.jobs.model import NewRun
from etlplus.store.contract import Store
from etlplus.testing.stores import NOW, a_job

PLAN = {"sources": {}, "sinks": [], "params": {"day": {"type": "date"}}, "interval": "required"}


async def test_of_wishes_that_do_not_all_fit_none_is_granted(store: Store) -> None:
    """Each is told by its number."""
    job = await a_job(store, pipeline=PLAN)
    good = NewRun(job_id=job.id, params={"day": "2026-03-28"}, interval=(NOW, NOW))
    with pytest.raises(Invalid) as refused:
        await store.enqueue([good, NewRun(job_id=job.id, params={"day": 5})], now=NOW)
    assert [problem.pointer for problem in refused.value.problems] == ["/1/params/day", "/1/interval"]
    assert await store.runs() == []
    (run,) = await store.enqueue([good], now=NOW)
    assert (run.params, run.interval) == (good.params, good.interval)
