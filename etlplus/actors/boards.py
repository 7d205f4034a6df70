"""
Boards: how queues, schedules and workers stand, for whoever watches them.

Nobody tells of these what happened: a board is looked at in the store, and what stands otherwise than before is told. So it
does not matter who changed it on which node, or whether that was heard of here, and of two pieces of news the later is always
the newer. A board is looked at by one task at a time, and a watcher is let in with what was read for it: it hears what is read
afterwards, and nothing that was read before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import trio

from etlplus.actors.news import QueuesNews, SchedulesNews, WorkersNews
from etlplus.actors.newsroom import Newsroom, Stir
from etlplus.actors.watchers import QUEUES, SCHEDULES, WORKERS, Subscription
from etlplus.jobs.model import Worker
from etlplus.jobs.queues import Limit, QueueCounts
from etlplus.jobs.views import schedule_view, worker_view
from etlplus.store.contract import ReadStore

SCHEDULES_MAX = 200
"""In a snapshot, and in one piece of news; more of them make more pieces."""
T = TypeVar("T")


class Board(ABC):
    """One topic. ``stir`` says that there is something new to be seen."""

    topic: str

    def __init__(self, store: ReadStore, room: Newsroom) -> None:
        self._store = store
        self._room = room
        self._lock = trio.Lock()

    @property
    def stir(self) -> Stir:
        return self._room.stirs[self.topic]

    @property
    def followed(self) -> bool:
        """Whether anybody watches."""
        return self._room.watchers.follow((self.topic,))

    async def wait_followed(self) -> None:
        """Return once somebody watches."""
        await self._room.watchers.wait_followed(self.topic)

    @abstractmethod
    async def look(self, newcomer: Subscription | None = None) -> dict[str, Any]:
        """Read how everything stands and tell what is new. A newcomer is let in, and what there is to see is answered, by the
        fields of its snapshot.

        Raises:
            StoreUnavailable: nothing was read; the next look tells.
        """

    def forget(self) -> None:
        """Nobody watches any more: what is read next is new to nobody."""
        self.stir.clear()


class QueuesBoard(Board):
    """Queues with what waits in them, and limits."""

    topic = QUEUES
    _queues: Mapping[str, QueueCounts] | None = None
    _limits: Mapping[str, Limit] = {}

    async def look(self, newcomer: Subscription | None = None) -> dict[str, Any]:
        async with self._lock:
            self.stir.take(0)
            queues, limits = await self._store.queues(), await self._store.limits()
            if newcomer is not None:
                newcomer.let_in(self.topic)
            self._compare({each.queue.name: each for each in queues}, {each.name: each for each in limits})
        return {"queues": queues, "limits": limits}

    def _compare(self, queues: Mapping[str, QueueCounts], limits: Mapping[str, Limit]) -> None:
        before, limits_before = self._queues, self._limits
        self._queues, self._limits = queues, limits
        if before is None or (before, limits_before) == (queues, limits):
            return
        news = QueuesNews(
            self._room.next_number(),
            self._room.now(),
            queues=_changed(before, queues),
            limits=_changed(limits_before, limits),
            queues_gone=_gone(before, queues),
            limits_gone=_gone(limits_before, limits),
        )
        self._room.give((self.topic,), news)

    def forget(self) -> None:
        super().forget()
        self._queues = None


class WorkersBoard(Board):
    """Workers that live. One whose lease is over is lost, whether its runs were taken back already or not."""

    topic = WORKERS
    _here: Mapping[str, Worker] | None = None

    async def look(self, newcomer: Subscription | None = None) -> dict[str, Any]:
        async with self._lock:
            found, now = await self._store.workers(), self._room.now()
            if newcomer is not None:
                newcomer.let_in(self.topic)
            here = {worker.id: worker for worker in found if worker.expires_at > now}
            self._compare(here, {worker.id for worker in found}, now)
        return {"workers": [worker_view(worker) for worker in here.values()]}

    def _compare(self, here: Mapping[str, Worker], known: set[str], now: datetime) -> None:
        before, self._here = self._here, here
        if before is None or before.keys() == here.keys():
            return
        gone = [before[worker_id] for worker_id in _gone(before, here)]
        lost = {worker.id for worker in gone if worker.id in known or worker.expires_at <= now}
        news = WorkersNews(
            self._room.next_number(),
            now,
            joined=[worker_view(here[worker_id]) for worker_id in _gone(here, before)],
            left=[worker_view(worker) for worker in gone if worker.id not in lost],
            lost=[worker_view(worker) for worker in gone if worker.id in lost],
        )
        self._room.give((self.topic,), news)

    def forget(self) -> None:
        super().forget()
        self._here = None


class SchedulesBoard(Board):
    """Schedules of jobs. There may be very many: only those are looked at of which somebody says that they were decided or
    edited, and none is remembered.
    """

    topic = SCHEDULES

    async def look(self, newcomer: Subscription | None = None) -> dict[str, Any]:
        async with self._lock:
            if newcomer is None:
                await self._tell(self.stir.take(SCHEDULES_MAX))
                return {}
            found = await self._store.scheduled(limit=SCHEDULES_MAX)
            newcomer.let_in(self.topic)
        return {"schedules": [schedule_view(each.job, each.ticks) for each in found]}

    async def _tell(self, job_ids: list[str]) -> None:
        if not job_ids:
            return
        try:
            found = await self._store.scheduled(job_ids, limit=SCHEDULES_MAX)
        except BaseException:
            self.stir.add(job_ids)
            raise
        gone = _gone(dict.fromkeys(job_ids), {each.job.id: each for each in found})
        schedules = [schedule_view(each.job, each.ticks) for each in found]
        news = SchedulesNews(self._room.next_number(), self._room.now(), schedules, gone)
        self._room.give((self.topic,), news)


def boards(store: ReadStore, room: Newsroom) -> tuple[Board, ...]:
    """All boards."""
    return (QueuesBoard(store, room), SchedulesBoard(store, room), WorkersBoard(store, room))


def _changed(before: Mapping[str, T], now: Mapping[str, T]) -> list[T]:
    """What is there now and was not, or not so."""
    return [each for name, each in now.items() if before.get(name) != each]


def _gone(before: Iterable[str], now: Mapping[str, object]) -> list[str]:
    """What was there and is not any more."""
    return [name for name in before if name not in now]
