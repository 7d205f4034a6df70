"""What one node does, the watchers of another see: in order, with nothing lost in silence."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from nodes_kit import HANG_S, Nodes, OpenNodes, next_call

from etlplus.actors import correspondent, newsroom
from etlplus.actors.bulletins import Body
from etlplus.actors.news import LogNews, News, ProgressNews, RunNews, Snapshot
from etlplus.jobs.model import JobDraft
from etlplus.jobs.views import RunView
from etlplus.service import events
from etlplus.service.local import Service
from etlplus.service.wishes import RunWish
from etlplus.store.contract import Bulletin, Store
from etlplus.store.opening import open_store
from etlplus.testing.stores import NOW, a_worker

pytestmark = pytest.mark.usefixtures("nobody_looks")


class Watcher:
    """Somebody who follows topics, and keeps how every run stands."""

    def __init__(self, feed: Any) -> None:
        self._news = aiter(feed)
        self.runs: dict[str, RunView] = {}
        self.versions: dict[str, list[int]] = {}
        self._see(feed.snapshot.runs)

    async def next(self, *kinds: type[Any]) -> Any:
        """The next piece of news of one of these kinds."""
        with trio.fail_after(HANG_S):
            while not isinstance(told := msgspec.json.decode(await anext(self._news), type=News), kinds):
                self._note(told)
        self._note(told)
        return told

    async def until(self, run_id: str, state: str) -> None:
        """Return once the run is seen like that."""
        while run_id not in self.runs or self.runs[run_id].state != state:
            await self.next(RunNews, Snapshot)

    def _note(self, told: News) -> None:
        if isinstance(told, RunNews):
            self._see([told.run])
        elif isinstance(told, Snapshot):
            self._see(told.runs)

    def _see(self, runs: list[RunView]) -> None:
        for run in runs:
            if not self.versions.get(run.id) or run.version > self.versions[run.id][-1]:
                self.runs[run.id] = run
                self.versions.setdefault(run.id, []).append(run.version)


@asynccontextmanager
async def watching(service: Service, *topics: str) -> AsyncGenerator[Watcher]:
    async with service.events.watch(topics or ("runs",)) as feed:
        yield Watcher(feed)


async def test_runs_of_one_node_are_seen_on_another_in_order(open_nodes: OpenNodes) -> None:
    """Every transition, each of a run with a larger version than the one before."""
    async with open_nodes() as nodes:
        able, window = await nodes.node("able"), await nodes.node("window", carries=False)
        async with watching(window) as watcher:
            await watcher.until((await able.runs.start("work")).id, "succeeded")
            for _ in range(10):
                run = await able.runs.start("work")
                await watcher.until(run.id, "succeeded")
                assert watcher.versions[run.id] == [1, 2, 3]


async def test_progress_and_logs_of_one_node_are_seen_on_another(open_nodes: OpenNodes) -> None:
    """Progress comes with the watcher's news and its snapshot; the lines of the log come from the store."""
    async with open_nodes() as nodes:
        able, window = await nodes.node("able", waits=True), await nodes.node("window", carries=False)
        async with watching(window) as everything:
            run = await able.runs.start("work")
            assert await next_call(nodes) == "able"
            progress = await everything.next(ProgressNews)
            assert (progress.run_id, progress.progress.share) == (run.id, 0.5)
            assert (await window.runs.get(run.id)).progress == progress.progress
            async with watching(window, f"log:{run.id}") as reader:
                nodes.go_on.set()
                lines = []
                while [line.text for line in lines[-1:]] != ["done"]:
                    lines += (await reader.next(LogNews)).lines
                assert lines == (await able.house.store.log(run.id, 1))[-len(lines) :]


class Ghost:
    """A worker without a staff, which publishes what the test says."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def publish(self, number: int, *runs: RunView, gap: bool = False) -> None:
        await self.store.publish(Bulletin("ghost", number, msgspec.json.encode(Body(gap, list(runs), [], []))))
        await self.store.ring()


@asynccontextmanager
async def haunted(nodes: Nodes) -> AsyncGenerator[tuple[Ghost, Watcher, RunView]]:
    """A ghost, a watcher on a real node who has seen a run from the ghost, and that run."""
    window = await nodes.node("window", carries=False)
    await window.queues.pause("default")
    draft = JobDraft(name="work", python="work")
    job = await window.house.store.save_job(draft, now=window.house.now())
    run = await window.runs.start(job.id)
    async with open_store(nodes.address) as store:
        await a_worker(store, "ghost", expires_s=1e9)
        ghost = Ghost(store)
        async with watching(window, f"run:{run.id}") as watcher:
            await ghost.publish(1, msgspec.structs.replace(run, version=run.version + 1))
            assert (await watcher.next(RunNews, Snapshot)).run.version == run.version + 1
            yield ghost, watcher, run


async def test_a_hole_in_what_a_node_published_brings_a_snapshot(open_nodes: OpenNodes) -> None:
    """A number that is missing, and a bulletin that says so itself."""
    async with open_nodes() as nodes, haunted(nodes) as (ghost, watcher, run):
        await ghost.publish(3)
        assert [each.id for each in (await watcher.next(RunNews, Snapshot)).runs] == [run.id]
        await ghost.publish(4, gap=True)
        assert [each.id for each in (await watcher.next(RunNews, Snapshot)).runs] == [run.id]


async def test_a_node_that_is_gone_brings_a_snapshot(open_nodes: OpenNodes) -> None:
    """What it did last it may not have published."""
    async with open_nodes() as nodes, haunted(nodes) as (ghost, watcher, run):
        await ghost.store.leave("ghost", now=NOW)
        assert [each.id for each in (await watcher.next(RunNews, Snapshot)).runs] == [run.id]


async def test_more_than_can_be_published_brings_a_snapshot(open_nodes: OpenNodes) -> None:
    """The watcher sees how everything stands, though nobody told every step."""
    async with open_nodes() as nodes:
        able, window = await nodes.node("able"), await nodes.node("window", carries=False)
        async with watching(window) as watcher:
            await watcher.until((await able.runs.start("work")).id, "succeeded")
            await able.queues.pause("default")
            made = await able.runs.start_many([RunWish(job="work")] * (newsroom.ABROAD_MAX + 1))
            while not {*made.run_ids[-100:]} <= watcher.runs.keys():
                await watcher.next(Snapshot)


async def test_nothing_is_published_while_nobody_watches(open_nodes: OpenNodes) -> None:
    """Neither before somebody does, nor for those who watch on the node itself."""
    async with open_nodes() as nodes:
        able, other = await nodes.node("able"), await nodes.node("other", carries=False)
        async with watching(able) as watcher:
            await watcher.until((await able.runs.start("work")).id, "succeeded")
            assert not able.house.newsroom.audience
            numbers = await other.house.store.bulletin_numbers("nobody")
            assert numbers[able.house.standing.worker.id] == 0


async def test_the_first_watcher_gets_one_snapshot(open_nodes: OpenNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """He is let in when the others publish; whatever they did before is in his snapshot, and what they do afterwards is told."""
    monkeypatch.setattr(correspondent, "GREETING_S", HANG_S)
    monkeypatch.setattr(events, "ATTENDED_WITHIN_S", HANG_S)
    async with open_nodes() as nodes:
        able, window = await nodes.node("able"), await nodes.node("window", carries=False)
        before = await able.runs.start("work")
        async with watching(window) as watcher:
            assert before.id in watcher.runs
            run = await able.runs.start("work")
            told = [await watcher.next(RunNews, Snapshot)]
            while not (isinstance(told[-1], RunNews) and told[-1].run.id == run.id and told[-1].run.finished):
                told.append(await watcher.next(RunNews, Snapshot))
            assert {type(each) for each in told} == {RunNews}
