"""What somebody does on one node, those who watch queues, schedules and workers on another hear."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from nodes_kit import HANG_S, OpenNodes

from etlplus.actors import correspondent, inspector
from etlplus.actors.news import News, QueuesNews, SchedulesNews, Snapshot, WorkersNews
from etlplus.jobs.model import JobDraft
from etlplus.jobs.queues import LimitDraft
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.service import events
from etlplus.service.local import Service
from etlplus.testing.stores import a_worker

pytestmark = pytest.mark.usefixtures("nobody_looks")


class Watcher:
    """Somebody who follows boards."""

    def __init__(self, feed: Any) -> None:
        self.snapshot: Snapshot = feed.snapshot
        self._news = aiter(feed)

    async def next(self) -> Any:
        """The next piece of news."""
        with trio.fail_after(HANG_S):
            return msgspec.json.decode(await anext(self._news), type=News)

    async def until(self, holds: Any) -> Any:
        """The first piece of news of which that holds."""
        while not holds(told := await self.next()):
            pass
        return told


@asynccontextmanager
async def watching(service: Service, *topics: str) -> AsyncGenerator[Watcher]:
    async with service.events.watch(topics) as feed:
        yield Watcher(feed)


@pytest.fixture
def only_stirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board is looked at when somebody says so, and else never in time; a watcher is let in when the other node publishes."""
    monkeypatch.setattr(inspector, "LOOK_EVERY_S", 1000.0)
    monkeypatch.setattr(correspondent, "GREETING_S", HANG_S)
    monkeypatch.setattr(events, "ATTENDED_WITHIN_S", HANG_S)


@pytest.mark.usefixtures("only_stirs")
async def test_what_one_node_pauses_a_watcher_at_the_other_hears(open_nodes: OpenNodes) -> None:
    """And what it opens, drains, limits and forgets: each as a piece of news of its own, in order."""
    async with open_nodes() as nodes:
        able, window = await nodes.node("able"), await nodes.node("window", carries=False)
        async with watching(window, "queues") as watcher:
            assert [each.queue.mode for each in watcher.snapshot.queues or ()] == ["open"]
            for act, mode in (
                (able.queues.pause, "paused"),
                (able.queues.resume, "open"),
                (able.queues.drain, "draining"),
            ):
                await act("default")
                told = await watcher.next()
                assert isinstance(told, QueuesNews)
                assert [each.queue.mode for each in told.queues] == [mode]
            await able.limits.save(LimitDraft(name="crm", slots=3))
            assert [each.slots for each in (await watcher.next()).limits] == [3]
            await able.limits.delete("crm")
            assert (await watcher.next()).limits_gone == ["crm"]


@pytest.mark.usefixtures("only_stirs")
async def test_schedules_that_one_node_edits_and_decides_are_seen_at_the_other(open_nodes: OpenNodes) -> None:
    """From the first saving of the job to its end, with the ledger's line of the run that it made."""
    async with open_nodes() as nodes:
        able, window = await nodes.node("able"), await nodes.node("window", carries=False)
        async with watching(window, "schedules") as watcher:
            assert watcher.snapshot.schedules == []
            job = await able.jobs.get("work")
            draft = JobDraft(name="work", python="work", schedule=IntervalSchedule(every_s=1))
            saved = await able.jobs.replace("work", draft, expected_version=job.version)
            told = await watcher.next()
            assert isinstance(told, SchedulesNews)
            assert [(each.job_version, each.ticks) for each in told.schedules] == [(saved.version, [])]
            told = await watcher.until(lambda told: told.schedules[0].ticks)
            assert told.schedules[0].ticks[-1].outcome == "fired"
            await able.schedules.pause("work")
            told = await watcher.until(lambda told: told.schedules[0].paused)
            assert told.schedules[0].next_at is None
            await able.jobs.replace("work", JobDraft(name="work", python="work"), expected_version=saved.version + 1)
            assert (await watcher.until(lambda told: told.gone)).gone == [job.id]


async def test_workers_that_come_and_go_are_seen_on_every_node(open_nodes: OpenNodes) -> None:
    """One that joins, leaves, or lets its lease run out."""
    async with open_nodes() as nodes:
        window = await nodes.node("window", carries=False)
        async with watching(window, "workers") as watcher:
            assert [each.id for each in watcher.snapshot.workers or ()] == [window.house.standing.worker.id]
            async with nodes.opened("guest") as guest:
                told = await watcher.until(lambda told: isinstance(told, WorkersNews))
                assert [each.id for each in told.joined] == [guest.house.standing.worker.id]
            told = await watcher.until(lambda told: isinstance(told, WorkersNews))
            assert ([each.id for each in told.left], told.lost) == ([guest.house.standing.worker.id], [])
            await a_worker(window.house.store, "dead", expires_s=-1.0)
            await a_worker(window.house.store, "dying", expires_s=1e9)
            told = await watcher.until(lambda told: isinstance(told, WorkersNews))
            assert [each.id for each in told.joined] == ["dying"]
            await a_worker(window.house.store, "dying", expires_s=-1.0)
            told = await watcher.until(lambda told: isinstance(told, WorkersNews))
            assert (told.left, [each.id for each in told.lost]) == ([], ["dying"])
