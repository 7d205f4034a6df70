"""
The events facet: a snapshot, then news as it happens.

The watcher is entered before the snapshot is read, so nothing falls between the two; news of a run that the snapshot holds
already comes again, and its version says so. When news were missed before they could be told, on this node or on the way from
another, a new snapshot comes in their place.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from etlplus.actors.messages import Unwatch, Watch
from etlplus.actors.news import Snapshot
from etlplus.actors.newsroom import ALL_RUNS
from etlplus.actors.watchers import BOARDS, QUEUES, SCHEDULES, WORKERS, Subscription
from etlplus.errors import Invalid, Problem
from etlplus.jobs.model import LIVE_STATES, Run
from etlplus.jobs.views import RunView, run_view
from etlplus.service.checking import checked_number, refuse_text
from etlplus.service.facet import Facet
from etlplus.service.permissions import Permission
from etlplus.store.contract import RunFilter

SNAPSHOT_MAX = 200
CAPACITY_MAX = 100_000
"""Of a watcher: pieces of news that it has not fetched yet."""
ATTENDED_WITHIN_S = 2.0
"""What happens on other nodes before, a later snapshot tells."""
NEEDED: dict[str, Permission] = {
    ALL_RUNS: "runs:read",
    "run:": "runs:read",
    "log:": "logs:read",
    QUEUES: "queues:read",
    SCHEDULES: "jobs:read",
    WORKERS: "system:read",
}
"""The permission for each topic; whoever watches anything may read runs."""
_encode = msgspec.json.Encoder().encode


class LocalFeed:
    """See ``contract.Feed``."""

    def __init__(self, facet: EventsFacet, topics: tuple[str, ...], capacity: int) -> None:
        self._facet = facet
        self._topics = topics
        self._capacity = capacity
        self._subscription: Subscription | None = None
        self.snapshot = Snapshot(0, topics, [])

    @property
    def node(self) -> str:
        return self._facet.house.node

    @property
    def epoch(self) -> str:
        return self._facet.house.epoch

    @property
    def position(self) -> int:
        return self._subscription.position if self._subscription else 0

    @property
    def lagged(self) -> bool:
        return self._subscription is not None and self._subscription.lagged

    async def begin(self) -> None:
        """Enter the watcher, then read the snapshot."""
        house = self._facet.house
        self._subscription = await house.broadcaster.ask(Watch(self._topics, self._capacity))
        await house.newsroom.wait_attended(ATTENDED_WITHIN_S)
        runs, found = await self._facet.views_of(self._topics), dict[str, Any]()
        for board in house.boards:
            if board.topic in self._topics:
                found |= await board.look(self._subscription)
        self.snapshot = Snapshot(self.position, self._topics, runs, **found)

    def end(self) -> None:
        """Leave; whoever is told something later finds the watcher gone."""
        broadcaster = self._facet.house.broadcaster
        if (subscription := self._subscription) is not None:
            subscription.news.close()
            if not broadcaster.offer(Unwatch(subscription.watcher)):
                subscription.close()  # the next piece of news finds it closed and forgets it

    def __aiter__(self) -> LocalFeed:
        return self

    async def __anext__(self) -> bytes:
        assert self._subscription is not None
        try:
            return await self._subscription.news.receive()
        except trio.EndOfChannel:
            if not self._subscription.missed:
                raise StopAsyncIteration from None
        await self.begin()
        return _encode(self.snapshot)


class EventsFacet(Facet):
    """See ``contract.Events``."""

    @asynccontextmanager
    async def watch(self, topics: tuple[str, ...] = (ALL_RUNS,), *, capacity: int = 256) -> AsyncGenerator[LocalFeed]:
        self.who.must("runs:read")
        for number, topic in enumerate(topics):
            refuse_text(topic, f"/topics/{number}")
            self.who.must(_needed(topic))
        feed = LocalFeed(self, topics, checked_number(capacity, "capacity", CAPACITY_MAX))
        try:
            await feed.begin()
            yield feed
        finally:
            feed.end()

    async def views_of(self, topics: tuple[str, ...]) -> list[RunView]:
        """How the runs of these topics stand, with the newest progress."""
        progress = self.house.newsroom.progress
        return [run_view(run, progress.get(run.id)) for run in await self._runs_of(topics)]

    async def _runs_of(self, topics: tuple[str, ...]) -> list[Run]:
        """The named runs; for the topic of all, the newest unfinished ones and then the newest of all."""
        if ALL_RUNS not in topics:
            return [await self.house.store.run(topic.partition(":")[2]) for topic in topics if topic not in BOARDS]
        live = await self.house.store.runs(RunFilter(states=tuple(LIVE_STATES)), limit=SNAPSHOT_MAX)
        newest = await self.house.store.runs(limit=SNAPSHOT_MAX - len(live)) if len(live) < SNAPSHOT_MAX else []
        return list({run.id: run for run in [*newest, *live]}.values())


def _needed(topic: str) -> Permission:
    """What whoever follows a topic has to be allowed.

    Raises:
        Invalid: there is no such topic.
    """
    kind, colon, _ = topic.partition(":")
    if needed := NEEDED.get(kind + colon):
        return needed
    accepted = ", ".join(each + "ID" * each.endswith(":") for each in NEEDED)
    raise Invalid("there is no such topic", [Problem(f"topic is {topic!r}", "/topics", suggestion=accepted)])
