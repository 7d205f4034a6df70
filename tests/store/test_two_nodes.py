"""One node stands still amid a unit while another one comes to the same place: what the second finds, and what both have done."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
import trio
from msgspec.structs import asdict

from etlplus.errors import Conflict
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, JobDraft, NewRun, Run, RunState, Uniqueness
from etlplus.jobs.queues import LimitDraft, LimitUse, QueueDraft, QueueMode
from etlplus.jobs.rates import Rate
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.store.contract import Claimed, Store
from etlplus.store.opening import open_store
from etlplus.store.postgres import cancelling, enqueueing, queues, ticking
from etlplus.store.postgres.bridge import Bridge, Db, open_bridge
from etlplus.store.postgres.definitions import Definitions
from etlplus.testing.stores import NOW, a_claim, a_job, a_worker, at, some_runs

HANG_S = 30.0
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
OWN_ADVISORY_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
MANY = enqueueing.KEYS_LOCKED_MAX + 1
MINUTELY = IntervalSchedule(every_s=60, start_at=at(60))
EVER = Uniqueness(period_s=60, states=tuple(RunState))

Unit = Callable[[Db], Awaitable[Any]]


class Dies(Exception):
    """The first node is lost before its unit ends."""


class Nodes:
    """Two nodes on one database; of the first there is only what it does in one unit."""

    def __init__(self, first: Bridge, second: Store) -> None:
        self._first = first
        self.second = second

    @asynccontextmanager
    async def amid(self, unit: Unit, *, dies: bool = False) -> AsyncGenerator[None]:
        """The first node has done this, and goes on when the other one waits for it, or at the end of this block."""
        done, go_on = trio.Event(), trio.Event()

        async def stands_still(db: Db) -> None:
            await unit(db)
            done.set()
            while not (go_on.is_set() or await db.fetchval(WAITING)):
                await db.execute("SELECT pg_sleep(0.01)")
            if dies:
                raise Dies

        async def carry() -> None:
            with suppress(Dies):
                await self._first.run(stands_still)

        with trio.fail_after(HANG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(carry)
                await done.wait()
                yield
                go_on.set()


@pytest.fixture
async def nodes(new_database: Callable[[], str]) -> AsyncGenerator[Nodes]:
    address = new_database()
    async with open_store(address, rng=Random(1)) as second, open_bridge(address, "etlplus") as first:
        yield Nodes(first, second)


def enqueues(job: Job, *keys: str, **options: Any) -> Unit:
    wishes = [NewRun(job_id=job.id, unique_key=key, **options) for key in keys]
    return lambda db: enqueueing.enqueue(db, Ids(Random(2)), wishes, NOW, 0)


def ticks(seconds: float) -> Unit:
    return lambda db: ticking.tick(db, Definitions(), Ids(Random(2)), at(seconds), 500, 0)


async def refused(deed: Awaitable[Any], done: Callable[[Any], Any] = id) -> str | None:
    """Why it was, or None; then what came of it is told."""
    try:
        done(await deed)
    except Conflict as error:
        return error.reason
    return None


async def ledger(store: Store, job: Job) -> list[tuple[str, float, int]]:
    """Its lines, oldest first: outcome, first nominal time in seconds after ``NOW``, count."""
    found = [
        (each.outcome.value, (each.nominal_at - NOW).total_seconds(), each.count) for each in await store.ticks(job.id)
    ]
    return found[::-1]


async def made_of(store: Store, job: Job) -> list[Run]:
    return [run for run in await store.runs(limit=1000) if run.job_id == job.id]


@pytest.mark.parametrize(("first", "second"), [(1, 1), (1, MANY), (MANY, 1), (MANY, MANY)])
async def test_a_key_that_another_node_is_just_taking_is_waited_for(nodes: Nodes, first: int, second: int) -> None:
    """Whether one of them wants a few keys or very many: both are answered with the same run."""
    job = await a_job(nodes.second)
    keys = [f"k{number}" for number in range(MANY)]
    async with nodes.amid(enqueues(job, *keys[:first])):
        wishes = [NewRun(job_id=job.id, unique_key=key) for key in [*keys[:second]][::-1]]
        answers = await nodes.second.enqueue(wishes, now=NOW)
    assert len(await made_of(nodes.second, job)) == max(first, second)
    assert len({run.id for run in answers}) == second


async def test_very_many_keys_take_few_locks(nodes: Nodes) -> None:
    """The server has room for some thousands, of all its sessions together; two lists of ten thousand keys have to fit."""
    job = await a_job(nodes.second)
    locks: list[int] = []

    async def unit(db: Db) -> None:
        await enqueues(job, *(f"k{number}" for number in range(10 * MANY)))(db)
        locks.append(await db.fetchval(OWN_ADVISORY_LOCKS))

    async with nodes.amid(unit):
        pass
    assert locks == [1]
    assert (await nodes.second.counts()).runs["queued"] == 10 * MANY


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (Uniqueness(), "made"),
        (Uniqueness(on_conflict="reject"), "made"),
        (Uniqueness(on_conflict="replace"), "made"),
        (EVER, "answered"),
        (Uniqueness(period_s=60, states=tuple(RunState), on_conflict="reject"), "refused"),
        (Uniqueness(period_s=60, states=tuple(RunState), on_conflict="replace"), "answered"),
    ],
)
async def test_a_key_whose_holder_ends_at_this_moment(nodes: Nodes, rule: Uniqueness, verdict: str) -> None:
    """The end is waited for, and the wish is judged by what has become of the holder."""
    job = await a_job(nodes.second)
    (holder,) = await some_runs(nodes.second, job, unique_key="k")
    wish = NewRun(job_id=job.id, unique_key="k", unique=rule, params={"n": 2})
    runs: list[Run] = []
    async with nodes.amid(lambda db: cancelling.cancel(db, holder.id, NOW, 0)):
        refusal = await refused(nodes.second.enqueue([wish], now=at(1)), runs.extend)
    assert refusal == ("unique_key_taken" if verdict == "refused" else None)
    answer = {run.id == holder.id: run.state for run in runs}
    assert answer == {"made": {False: "queued"}, "answered": {True: "cancelled"}, "refused": {}}[verdict]
    (again,) = await some_runs(nodes.second, job, unique_key="k", seconds=2)
    assert (again.id == holder.id, len(await made_of(nodes.second, job))) == (False, 2)


async def test_a_limit_that_is_raised_while_a_key_comes_up_counts_for_that_key(nodes: Nodes) -> None:
    """It has as many slots as the limit has now, though whoever changed the limit could not see it yet."""
    await nodes.second.save_limit(LimitDraft(name="customer", slots=1), now=NOW)
    job = await a_job(nodes.second, limit=LimitUse("customer", by="id"))
    await a_worker(nodes.second)
    wishes = [NewRun(job_id=job.id, params={"id": 1})] * 3
    async with nodes.amid(lambda db: enqueueing.enqueue(db, Ids(Random(2)), wishes, NOW, 0)):
        await nodes.second.save_limit(LimitDraft(name="customer", slots=3), now=NOW)
    assert len(await a_claim(nodes.second, limit=9)) == 3


async def test_a_queue_that_is_paused_amid_a_claim_gives_nothing(nodes: Nodes) -> None:
    """The claim has seen the queue open, and then waited for the bucket of a rate; what another queue has, it takes."""
    await nodes.second.save_limit(LimitDraft(name="customer", rate=Rate(count=100, per_s=1)), now=NOW)
    await nodes.second.save_queue(QueueDraft(name="other"), now=NOW)
    for queue in ("default", "other"):
        job = await a_job(nodes.second, name=queue, queue=queue, limit=LimitUse("customer"))
        await some_runs(nodes.second, job, 3)
    await a_worker(nodes.second)
    (first,) = await a_claim(nodes.second)
    taken: list[Claimed] = []

    async def claim() -> None:
        taken.extend(await a_claim(nodes.second, limit=9))

    async def pauses(db: Db) -> None:
        await db.execute("SELECT FROM limit_bucket FOR UPDATE")
        nursery.start_soon(claim)
        while not await db.fetchval(WAITING):
            await db.execute("SELECT pg_sleep(0.01)")
        await queues.set_queue_mode(db, "default", QueueMode.PAUSED, NOW)

    async with trio.open_nursery() as nursery, nodes.amid(pauses):
        pass
    assert first.run.queue == "default"
    assert [each.run.queue for each in taken] == ["other"] * 3


async def test_what_another_node_is_ticking_is_left_to_it(nodes: Nodes) -> None:
    """And nobody waits: another job that is due by our clock is decided meanwhile. Of an outage there is one line."""
    job = await a_job(nodes.second, schedule=MINUTELY)
    other = await a_job(nodes.second, name="other", schedule=IntervalSchedule(every_s=60, start_at=at(610)))
    async with nodes.amid(ticks(600)):
        assert {run.job_id for run in await nodes.second.tick(now=at(615))} == {other.id}
    assert await nodes.second.tick(now=at(616)) == []
    assert await ledger(nodes.second, job) == [("coalesced", 60, 9), ("fired", 600, 1)]
    assert await ledger(nodes.second, other) == [("fired", 610, 1)]


@pytest.mark.parametrize(
    ("change", "dies", "lines", "runs"),
    [
        ({"pipeline": {"b": 2}}, False, [("fired", 60, 1)], 1),
        ({"pipeline": {"b": 2}}, True, [("fired", 60, 1)], 1),
        ({"paused": True}, False, [("fired", 60, 1)], 1),
        ({"paused": True}, True, [("missed", 60, 1)], 0),
        ({"schedule": None}, False, [("fired", 60, 1)], 1),
        ({"schedule": None}, True, [("missed", 60, 1)], 0),
    ],
)
async def test_a_job_that_is_saved_amid_its_tick(
    nodes: Nodes, change: dict[str, Any], dies: bool, lines: list[Any], runs: int
) -> None:
    """The tick is waited for; whether it came to its end or not, the nominal time is decided once."""
    job = await a_job(nodes.second, schedule=MINUTELY)
    fields = {name: value for name, value in asdict(job).items() if name in JobDraft.__struct_fields__}
    async with nodes.amid(ticks(60), dies=dies):
        saved = await nodes.second.save_job(JobDraft(**(fields | change)), now=at(65), job_id=job.id)
    assert await nodes.second.job(job.id) == saved
    assert saved.version == 2
    assert await nodes.second.tick(now=at(66)) == []
    assert await ledger(nodes.second, job) == lines
    assert len(await made_of(nodes.second, job)) == runs


async def test_whoever_waited_for_a_tick_decides_nothing_again(nodes: Nodes) -> None:
    """He asked for the time before the other one did, and has his turn after him: what is decided by then stays so."""
    job = await a_job(nodes.second, schedule=IntervalSchedule(every_s=60, start_at=at(60), overlap="cancel_old"))
    fields = {name: value for name, value in asdict(job).items() if name in JobDraft.__struct_fields__}
    async with nodes.amid(ticks(60)):
        await nodes.second.save_job(JobDraft(**fields), now=at(59.9), job_id=job.id)
    (run,) = await made_of(nodes.second, job)
    assert await nodes.second.tick(now=at(61)) == []
    assert (await nodes.second.job(job.id)).next_at == at(120)
    assert await ledger(nodes.second, job) == [("fired", 60, 1)]
    assert (await nodes.second.run(run.id)).state is RunState.QUEUED


@pytest.mark.parametrize("dies", [False, True])
async def test_a_job_that_is_deleted_amid_its_tick(nodes: Nodes, dies: bool) -> None:
    """If the tick made its run, that is unfinished, and the job stays; else it goes."""
    job = await a_job(nodes.second, schedule=MINUTELY)
    async with nodes.amid(ticks(60), dies=dies):
        refusal = await refused(nodes.second.delete_job(job.id, now=at(61)))
    assert refusal == (None if dies else "job_in_use")
    assert len(await made_of(nodes.second, job)) == (0 if dies else 1)
    assert await nodes.second.tick(now=at(62)) == []


@pytest.mark.parametrize("overlap", ["skip", "queue_one", "cancel_old"])
async def test_a_run_that_ends_while_another_node_ticks_is_no_overlap(nodes: Nodes, overlap: Any) -> None:
    """The job is left alone until the end is there, and then the next nominal time has its run at once."""
    job = await a_job(nodes.second, schedule=IntervalSchedule(every_s=60, start_at=at(60), overlap=overlap))
    (first,) = await nodes.second.tick(now=at(60))
    async with nodes.amid(lambda db: cancelling.cancel(db, first.id, at(119), 0)):
        assert await nodes.second.tick(now=at(120)) == []
    assert [run.state for run in await nodes.second.tick(now=at(120))] == [RunState.QUEUED]
    assert await ledger(nodes.second, job) == [("fired", 60, 1), ("fired", 120, 1)]
