"""How schedules stand, as a store shows them: which are due next, and what was decided last."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict

from etlplus.jobs.model import Job, JobDraft
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.jobs.ticks import LATELY
from etlplus.store.contract import Scheduled, Store
from etlplus.testing.stores import NOW, a_job, at


async def a_schedule(store: Store, name: str, every_s: float = 60, **options: Any) -> Job:
    return await a_job(store, name=name, schedule=IntervalSchedule(every_s=every_s, start_at=NOW), **options)


def names(found: list[Scheduled]) -> list[str]:
    return [each.job.name for each in found]


async def test_what_is_due_next_comes_first_and_what_is_not_due_last(store: Store) -> None:
    """By the next time, and then by name; a job without a schedule is not among them, and no more come than are wanted."""
    await a_schedule(store, "paused", paused=True)
    await a_schedule(store, "hourly", 3600)
    await a_schedule(store, "minutely")
    await a_job(store, name="by hand")
    await a_schedule(store, "also paused", paused=True)
    found = await store.scheduled()
    assert names(found) == ["minutely", "hourly", "also paused", "paused"]
    assert [each.job.next_at for each in found] == [at(60), at(3600), None, None]
    assert names(await store.scheduled(limit=3)) == ["minutely", "hourly", "also paused"]
    assert names(await store.scheduled(limit=1)) == ["minutely"]


async def test_each_comes_with_what_was_decided_last(store: Store) -> None:
    """The newest nominal times first, and not all of them."""
    job = await a_schedule(store, "minutely")
    assert [each.ticks for each in await store.scheduled()] == [[]]
    for minute in range(1, LATELY + 3):
        await store.tick(now=at(60 * minute + 1))
    (found,) = await store.scheduled()
    assert found.ticks == (await store.ticks(job.id))[:LATELY]
    assert [tick.nominal_at for tick in found.ticks] == [at(60 * minute) for minute in (5, 4, 3)]


async def test_some_can_be_asked_for_by_their_ids(store: Store) -> None:
    """Those that have a schedule, and no others; paused or not."""
    one, two = await a_schedule(store, "one"), await a_schedule(store, "two", paused=True)
    other, bare = await a_schedule(store, "other"), await a_job(store, name="bare")
    asked = [two.id, bare.id, "nobody", one.id]
    assert {each.job.id for each in await store.scheduled(asked)} == {one.id, two.id}
    assert len(await store.scheduled(asked, limit=1)) == 1
    assert await store.scheduled([]) == []
    fields = {name: value for name, value in asdict(one).items() if name in JobDraft.__struct_fields__}
    await store.save_job(JobDraft(**(fields | {"schedule": None})), now=at(1), job_id=one.id)
    assert await store.scheduled([one.id]) == []
    assert names(await store.scheduled()) == [other.name, two.name]


async def test_a_tick_tells_whose_schedules_it_decided(store: Store) -> None:
    """Also those that made no run; and nobody's, when nothing was due."""
    strict = IntervalSchedule(every_s=60, start_at=NOW, misfire="skip", grace_s=1)
    due = [await a_schedule(store, "fires"), await a_job(store, name="skips", schedule=strict)]
    await a_schedule(store, "later", 3600)
    told: list[str] = []
    runs = await store.tick(now=at(150), tell=told.extend)
    assert sorted(told) == sorted(job.id for job in due)
    assert [run.job_id for run in runs] == [due[0].id]
    told.clear()
    await store.tick(now=at(151), tell=told.extend)
    assert told == []
