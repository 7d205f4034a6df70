"""What watchers hear of queues, schedules and workers, under a virtual clock: whatever happens, all of it adds up."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import trio
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent))
from night.times import JumpingClock, virtual_now, virtual_time

from etlplus.actors import inspector
from etlplus.actors.boards import SCHEDULES_MAX, boards
from etlplus.actors.messages import BROADCASTER, DISPATCHER
from etlplus.actors.news import News, QueuesNews, SchedulesNews, Snapshot, WorkersNews
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.app.staff import new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.errors import EtlplusError, StoreUnavailable
from etlplus.jobs.model import Job, JobDraft, NewRun
from etlplus.jobs.outcome import Failed, Result, RunError
from etlplus.jobs.queues import Limit, LimitDraft, QueueCounts, QueueDraft, QueueMode
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.jobs.views import ScheduleView, schedule_view, worker_view
from etlplus.runtime import open_system
from etlplus.service.events import EventsFacet, LocalFeed
from etlplus.service.jobs import JobsFacet
from etlplus.service.limits import LimitsFacet
from etlplus.service.permissions import OWNER
from etlplus.service.queues import QueuesFacet
from etlplus.service.schedules import SchedulesFacet
from etlplus.settings import Settings
from etlplus.store.sqlite.body import SqliteStore, open_sqlite

HEARD_WITHIN_S = 2.5
"""Of what nobody stirs: two looks, and the time that a store in trouble takes."""
SEEDS = 20
READS = ("queues", "limits", "workers", "scheduled")


async def fails(work: Work, lease: Lease, reports: Reports) -> Result:
    """What every attempt comes to, so that a schedule that gives up has a reason."""
    return Failed(RunError("data_error", "bad", retryable=False))


async def nothing_wrong(draft: JobDraft) -> list[Any]:
    return []


class House:
    """A staff on a store in memory, and the facets that people use; ``trouble`` is the share of looks that fail, ``delays_s``
    how long each takes before and after it has read.
    """

    def __init__(self, store: SqliteStore, standing: Standing) -> None:
        self.store, self.now = store, standing.now
        self.newsroom = Newsroom(standing.now)
        self.boards = boards(store, self.newsroom)
        self.workshop = SimpleNamespace(check=nothing_wrong)
        self.node = self.epoch = "here"
        self.trouble, self.delays_s, self.rng = 0.0, (0.0,), Random(0)
        self.reads: Counter[str] = Counter()
        for name in READS:
            setattr(store, name, self._counted(name))

    def _counted(self, name: str) -> Any:
        read = getattr(self.store, name)

        async def counted(*args: Any, **named: Any) -> Any:
            self.reads[name] += 1
            if self.rng.random() < self.trouble:
                raise StoreUnavailable("out")
            await trio.sleep(self.rng.choice(self.delays_s))
            found = await read(*args, **named)
            await trio.sleep(self.rng.choice(self.delays_s))
            return found

        return counted

    def facet(self, kind: Any) -> Any:
        return kind(self, OWNER)

    @asynccontextmanager
    async def watching(self, *topics: str, capacity: int = 256) -> AsyncGenerator[Follower]:
        facet: EventsFacet = self.facet(EventsFacet)
        async with facet.watch(topics, capacity=capacity) as feed:
            yield Follower(feed)

    async def stands(self) -> dict[str, Any]:
        """How everything stands, as whoever follows all boards should see it."""
        now = self.now()
        return {
            "queues": {each.queue.name: each for each in await self.store.queues()},
            "limits": {each.name: each for each in await self.store.limits()},
            "schedules": {each.job.id: schedule_view(each.job, each.ticks) for each in await self.store.scheduled()},
            "workers": {each.id: worker_view(each) for each in await self.store.workers() if each.expires_at > now},
        }

    async def job(self, name: str, **options: Any) -> Job:
        schedule = IntervalSchedule(every_s=20, **options)
        await self.facet(JobsFacet).create(JobDraft(name=name, pipeline={}, schedule=schedule))
        job = await self.store.job_named(name)
        assert job is not None
        return job


class Follower:
    """Somebody who keeps how everything stands by what he is told."""

    def __init__(self, feed: Any) -> None:
        self.feed: LocalFeed = feed
        self.sees: dict[str, dict[str, Any]] = {}
        self.news: list[Any] = []
        self.note(self.feed.snapshot)

    async def heard(self, seconds: float) -> list[Any]:
        """What is told within so many seconds."""
        before = len(self.news)
        with trio.move_on_after(seconds):
            await self.listen()
        return self.news[before:]

    async def listen(self) -> None:
        """Note what is told, for ever."""
        encoded: AsyncIterator[bytes] = aiter(self.feed)
        async for each in encoded:
            self.note(msgspec.json.decode(each, type=News))

    def note(self, told: Any) -> None:
        self.news.append(told)
        if isinstance(told, Snapshot):
            self.sees = {"queues": {}, "limits": {}, "schedules": {}, "workers": {}}
            self._put("queues", told.queues or (), lambda each: each.queue.name)
            self._put("limits", told.limits or (), lambda each: each.name)
            self._put("schedules", told.schedules or (), lambda each: each.job_id)
            self._put("workers", told.workers or (), lambda each: each.id)
        elif isinstance(told, QueuesNews):
            self._put("queues", told.queues, lambda each: each.queue.name, told.queues_gone)
            self._put("limits", told.limits, lambda each: each.name, told.limits_gone)
        elif isinstance(told, SchedulesNews):
            self._put("schedules", told.schedules, lambda each: each.job_id, told.gone)
        elif isinstance(told, WorkersNews):
            self._put("workers", told.joined, lambda each: each.id, [each.id for each in (*told.left, *told.lost)])

    def _put(self, board: str, found: Any, key: Any, gone: Any = ()) -> None:
        held = self.sees[board]
        for name, each in {key(each): each for each in found}.items():
            assert name not in held or age(held[name]) <= age(each), "something older is told after something newer"
            held[name] = each
        for name in gone:
            self.sees[board].pop(name, None)


def age(shown: Any) -> Any:
    """What grows with each change of a queue, a limit or a schedule."""
    match shown:
        case QueueCounts():
            return shown.queue.updated_at
        case Limit():
            return shown.updated_at
        case ScheduleView():
            return shown.job_version, [tick.decided_at for tick in shown.ticks[:1]]
        case _:
            return 0


@asynccontextmanager
async def open_house() -> AsyncGenerator[House]:
    standing = new_standing(2)
    standing.now, standing.boottime_s, standing.clock = virtual_now, trio.current_time, None
    standing.lease = Lease(float("-inf"), trio.current_time)
    async with open_sqlite(None, Random(1)) as store:
        for mode in (QueueMode.PAUSED, QueueMode.OPEN):  # a store makes this queue by a clock of its own
            await store.set_queue_mode("default", mode, now=virtual_now())
        house = House(store, standing)
        settings = Settings()
        tree = staff(store, Inline(fails), standing, house.newsroom, settings, seen=house.boards)
        async with open_system(tree, seed=1) as system:
            vars(house).update(broadcaster=system.ref(BROADCASTER), dispatcher=system.ref(DISPATCHER))
            await trio.sleep(10)
            yield house


async def test_whoever_follows_queues_hears_at_once_what_somebody_does(autojump_clock: Any) -> None:
    """A mode, slots, a limit, and what is gone: one piece of news each, with nothing in it that is as it was."""
    async with open_house() as house, house.watching("queues") as follower:
        queues, limits = house.facet(QueuesFacet), house.facet(LimitsFacet)
        assert [(name, each.queue.mode) for name, each in follower.sees["queues"].items()] == [("default", "open")]
        for act, changed in (
            (lambda: queues.pause("default"), ("default", "paused", None)),
            (lambda: queues.drain("default"), ("default", "draining", None)),
            (lambda: queues.save(QueueDraft(name="night", slots=3)), ("night", "open", 3)),
        ):
            await act()
            (told,) = await follower.heard(0.3)
            assert [(each.queue.name, each.queue.mode, each.queue.slots) for each in told.queues] == [changed]
            assert (told.limits, told.queues_gone, told.limits_gone) == ([], [], [])
        await limits.save(LimitDraft(name="crm", slots=3))
        assert [[each.name for each in told.limits] for told in await follower.heard(0.3)] == [["crm"]]
        await limits.delete("crm")
        await queues.delete("night")
        (told,) = await follower.heard(0.3)
        assert (told.queues, told.queues_gone, told.limits_gone) == ([], ["night"], ["crm"])
        numbers = [told.n for told in follower.news]
        assert numbers == sorted(set(numbers))


async def test_counts_are_told_once_a_second_and_not_for_each_run(autojump_clock: Any) -> None:
    """A hundred runs come in one after the other; whoever watches gets a few pieces of news, the last of which is right."""
    async with open_house() as house, house.watching("queues") as follower, trio.open_nursery() as nursery:
        await house.facet(QueuesFacet).pause("default")
        nursery.start_soon(follower.listen)
        await trio.sleep(5)
        job, before = await house.job("often"), len(follower.news)
        house.reads.clear()
        for _ in range(100):
            await house.store.enqueue([NewRun(job_id=job.id)], now=house.now())
            await trio.sleep(0.1)
        await trio.sleep(HEARD_WITHIN_S)
        assert 5 <= len(follower.news) - before <= 13
        assert house.reads["queues"] <= 13
        assert follower.sees["queues"]["default"].queued >= 100
        nursery.cancel_scope.cancel()


async def test_nobody_looks_at_what_nobody_watches(autojump_clock: Any) -> None:
    """Neither before somebody does, nor after the last has gone, nor at the other boards."""
    async with open_house() as house:
        await trio.sleep(100)
        assert not house.reads
        async with house.watching("workers"):
            await trio.sleep(10)
        assert 5 <= house.reads["workers"] <= 12
        assert house.reads.keys() == {"workers"}
        house.reads.clear()
        await house.job("quiet")
        await trio.sleep(100)
        assert house.reads["workers"] <= 1
        assert house.reads.keys() <= {"workers"}


async def test_a_store_that_takes_long_is_asked_less_often(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking takes at most a tenth of the time."""
    async with open_house() as house, house.watching("workers"):
        slow = house.store.workers

        async def slower() -> Any:
            await trio.sleep(2)
            return await slow()

        monkeypatch.setattr(house.store, "workers", slower)
        house.reads.clear()
        await trio.sleep(200)
        assert 5 <= house.reads["workers"] <= 10


async def test_workers_join_leave_and_are_lost(autojump_clock: Any) -> None:
    """Whoever leaves in order has left; whoever falls silent is lost as soon as its lease is over, and told once."""
    async with open_house() as house, house.watching("workers") as follower:
        (own,) = await house.store.workers()
        for name, lease_s in (("polite", 1000), ("dead", 5)):
            worker = replace(own, id=name, node="elsewhere", expires_at=house.now() + timedelta(seconds=lease_s))
            await house.store.join(worker, now=house.now())
        (told,) = await follower.heard(HEARD_WITHIN_S)
        assert ([each.id for each in told.joined], told.left, told.lost) == (["dead", "polite"], [], [])
        await house.store.leave("polite", now=house.now())
        (told,) = await follower.heard(HEARD_WITHIN_S)
        assert (told.joined, [each.id for each in told.left], told.lost) == ([], ["polite"], [])
        (told,) = await follower.heard(60)
        assert (told.joined, told.left, [each.node for each in told.lost]) == ([], [], ["elsewhere"])
        assert follower.sees["workers"].keys() == {own.id}


async def test_schedules_tell_what_was_decided_and_what_was_edited(autojump_clock: Any) -> None:
    """When it is due next, and how the last nominal times came out: fired, skipped by its rules, or given up."""
    async with open_house() as house, house.watching("schedules") as follower:
        await house.facet(QueuesFacet).pause("default")  # so that the first run is unfinished when the second is due
        job = await house.job("skips", overlap="skip")
        assert [[(each.job_name, each.ticks) for each in told.schedules] for told in await follower.heard(1)] == [
            [("skips", [])]
        ]
        (told,) = await follower.heard(20)
        (view,) = told.schedules
        assert ([tick.outcome for tick in view.ticks], view.next_at) == (["fired"], virtual_time(50.0))
        (told,) = await follower.heard(20)
        assert [tick.outcome for tick in told.schedules[0].ticks] == ["overlap", "fired"]
        await house.facet(SchedulesFacet).pause("skips")
        (told,) = await follower.heard(1)
        assert [(each.paused, each.next_at) for each in told.schedules] == [(True, None)]
        await house.facet(JobsFacet).replace("skips", JobDraft(name="skips", pipeline={}), expected_version=2)
        assert [told.gone for told in await follower.heard(1)] == [[job.id]]


async def test_a_schedule_that_gives_up_is_told(autojump_clock: Any) -> None:
    """It is paused by the end of a run, on whatever node that was."""
    async with open_house() as house, house.watching("schedules") as follower:
        await house.job("fails", pause_after_failures=1)
        await follower.heard(25)
        (view,) = follower.sees["schedules"].values()
        assert (view.paused, view.next_at, view.ticks[0].outcome) == (True, None, "gave_up")


async def test_more_schedules_than_one_look_takes_are_told_in_pieces(autojump_clock: Any) -> None:
    """Nothing is left out, however many are decided at once."""
    async with open_house() as house, house.watching("schedules") as follower:
        await house.facet(QueuesFacet).pause("default")
        amount = 2 * SCHEDULES_MAX + 1
        for number in range(amount):
            draft = JobDraft(
                name=f"job {number}", pipeline={}, schedule=IntervalSchedule(every_s=1000, start_at=virtual_time(30))
            )
            await house.store.save_job(draft, now=house.now())
        told = await follower.heard(25)
        assert [len(each.schedules) for each in told] == [SCHEDULES_MAX, SCHEDULES_MAX, 1]
        assert len(follower.sees["schedules"]) == amount


async def test_whoever_does_not_read_is_let_go(autojump_clock: Any) -> None:
    """As with any topic: the first piece of news that finds no room."""
    async with open_house() as house, house.watching("queues", capacity=2) as slow, house.watching("queues") as quick:
        for _ in range(2):
            for act in (house.facet(QueuesFacet).pause, house.facet(QueuesFacet).resume):
                await act("default")
                await trio.sleep(0.3)
        assert (slow.feed.lagged, len(await slow.heard(1))) == (True, 2)
        assert (quick.feed.lagged, len(await quick.heard(1))) == (False, 4)


async def test_a_store_that_is_out_refuses_newcomers_and_loses_nothing(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What happened meanwhile is told when it answers again; how often it is asked until then does not depend on the stirs."""
    async with open_house() as house, house.watching("queues", "schedules") as follower:
        await house.facet(QueuesFacet).pause("default")
        await follower.heard(2)
        house.trouble = 1.0
        await house.job("meanwhile")
        house.reads.clear()
        assert await follower.heard(10) == []
        assert house.reads["scheduled"] <= 11
        with pytest.raises(StoreUnavailable):
            async with house.watching("workers"):
                pass
        await house.facet(QueuesFacet).resume("default")
        house.trouble = 0.0
        await follower.heard(HEARD_WITHIN_S)
        assert follower.sees["queues"]["default"].queue.mode == "open"
        assert [each.job_name for each in follower.sees["schedules"].values()] == ["meanwhile"]


async def test_a_board_whose_inspector_crashed_is_looked_at_again(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was to be looked at meanwhile is not forgotten."""
    async with open_house() as house, house.watching("schedules") as follower:
        look, failures = house.boards[1].look, iter([True, True])

        async def crashing(newcomer: Any = None) -> Any:
            if next(failures, False):
                raise RuntimeError("a mistake")
            return await look(newcomer)

        monkeypatch.setattr(house.boards[1], "look", crashing)
        await house.job("told")
        await follower.heard(10)
        assert [each.job_name for each in follower.sees["schedules"].values()] == ["told"]


class Life:
    """Some people who edit, in an order that a seed decides, and others who come to watch and leave."""

    def __init__(self, house: House, rng: Random) -> None:
        self.house, self.rng = house, rng
        self.live: list[Follower] = []
        self.seen: Counter[str] = Counter()

    async def edit(self) -> None:
        house, rng = self.house, self.rng
        queues, limits, jobs = house.facet(QueuesFacet), house.facet(LimitsFacet), house.facet(JobsFacet)
        schedules, name = house.facet(SchedulesFacet), rng.choice("abc")
        schedule = IntervalSchedule(
            every_s=rng.choice((3, 7)), overlap=rng.choice(("allow", "skip")), pause_after_failures=2
        )
        act = rng.choice(
            [
                lambda: queues.save(QueueDraft(name=name, slots=rng.randrange(1, 4))),
                lambda: rng.choice((queues.pause, queues.resume, queues.drain))(rng.choice((name, "default"))),
                lambda: queues.delete(name),
                lambda: limits.save(LimitDraft(name=name, slots=rng.randrange(1, 4))),
                lambda: limits.delete(name),
                lambda: jobs.create(JobDraft(name=name, pipeline={}, schedule=schedule)),
                lambda: rng.choice((schedules.pause, schedules.resume))(name),
                lambda: self.remove(name),
                self.come_or_go,
            ]
        )
        try:
            await act()
        except EtlplusError as error:
            self.seen[error.reason] += 1  # what cannot be done now, another will

    async def remove(self, name: str) -> None:
        job = await self.house.facet(JobsFacet).get(name)
        await self.house.facet(JobsFacet).delete(name, expected_version=job.version)

    async def come_or_go(self) -> None:
        store, now = self.house.store, self.house.now()
        workers = await self.house.store.workers()
        if len(workers) > 2:
            await store.leave(self.rng.choice(workers[1:]).id, now=now)
        else:
            name, lease_s = str(trio.current_time()), self.rng.choice((2, 200))
            await store.join(replace(workers[0], id=name, expires_at=now + timedelta(seconds=lease_s)), now=now)

    async def watch(self) -> None:
        """Come, listen for a while, and leave; the last who come stay to the end."""
        while True:
            await trio.sleep(self.rng.uniform(0, 5))
            try:
                async with self.house.watching("queues", "schedules", "workers") as follower:
                    self.live.append(follower)
                    try:
                        with trio.move_on_at(self._until()):
                            await follower.listen()
                    finally:
                        self.live.remove(follower)
                    self.seen["another snapshot"] += sum(isinstance(each, Snapshot) for each in follower.news[1:])
            except StoreUnavailable:
                self.seen["refused"] += 1

    def _until(self) -> float:
        leaves_at = trio.current_time() + self.rng.uniform(1, 30)
        return leaves_at if leaves_at < END_S else float("inf")

    async def go_by(self) -> None:
        while trio.current_time() < END_S:
            await trio.sleep(self.rng.choice((0.0, 0.01, 0.5, 2.0)))
            self.house.trouble = self.rng.choice((0.0, 0.0, 0.3, 1.0))
            await self.edit()
            if self.rng.random() < 0.05:
                self.house.newsroom.here.miss()
        self.house.trouble = 0.0


END_S = 60.0


async def play(seed: int) -> Counter[str]:
    """One life; at its end, everybody who watches sees how everything stands."""
    async with open_house() as house, trio.open_nursery() as nursery:
        house.rng, house.delays_s = (rng := Random(seed)), (0.0, 0.05, 0.7)
        life = Life(house, rng)
        for _ in range(3):
            nursery.start_soon(life.watch)
        await life.go_by()
        for each in await house.store.jobs():
            if not each.paused:
                await house.facet(SchedulesFacet).pause(each.name)  # nothing more happens
        await trio.sleep(60)
        stands = await house.stands()
        assert life.live
        for follower in life.live:
            assert follower.sees == stands, seed
        life.seen.update(type(told).__name__ for follower in life.live for told in follower.news)
        nursery.cancel_scope.cancel()
    return life.seen


@pytest.mark.slow
def test_whatever_happens_all_that_is_told_adds_up() -> None:
    """Edits, ticks, workers that come and go, looks that fail, news that are missed, watchers that come at any moment."""
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        seen += trio.run(play, seed, clock=JumpingClock())
    for kind in ("Snapshot", "QueuesNews", "SchedulesNews", "WorkersNews", "refused", "another snapshot"):
        assert seen[kind] > SEEDS / 4, seen
    assert inspector.LOOK_EVERY_S < HEARD_WITHIN_S
