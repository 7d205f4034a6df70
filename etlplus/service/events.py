"""
The events facet: a snapshot, then news as it happens.

The watcher is entered before the snapshot is read, so nothing falls between the two; news that the snapshot holds already
comes again, and its version says so.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from etlplus.actors.broadcaster import ALL_RUNS
from etlplus.actors.messages import Unwatch, Watch
from etlplus.actors.watchers import Subscription
from etlplus.errors import Invalid, Problem
from etlplus.jobs.model import LIVE_STATES, Run
from etlplus.jobs.views import RunView, run_view
from etlplus.service.facet import Facet
from etlplus.store.contract import RunFilter

SNAPSHOT_MAX = 200


@dataclass(slots=True)
class LocalFeed:
    """See ``contract.Feed``."""

    node: str
    epoch: str
    snapshot: list[RunView]
    _subscription: Subscription

    @property
    def position(self) -> int:
        return self._subscription.position

    @property
    def lagged(self) -> bool:
        return self._subscription.lagged

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._subscription.news.__aiter__()


class EventsFacet(Facet):
    """See ``contract.Events``."""

    @asynccontextmanager
    async def watch(self, topics: tuple[str, ...] = (ALL_RUNS,), *, capacity: int = 256) -> AsyncGenerator[LocalFeed]:
        self.who.must("runs:read")
        for topic in topics:
            _refuse_unknown(topic)
            if topic.startswith("log:"):
                self.who.must("logs:read")
        subscription = await self.house.broadcaster.ask(Watch(topics, capacity))
        try:
            snapshot = [run_view(run, self.house.newsroom.progress.get(run.id)) for run in await self._runs_of(topics)]
            yield LocalFeed(self.house.node, self.house.epoch, snapshot, subscription)
        finally:
            subscription.news.close()
            if not self.house.broadcaster.offer(Unwatch(subscription.watcher)):
                subscription.close()  # the next piece of news finds it closed and forgets it

    async def _runs_of(self, topics: tuple[str, ...]) -> list[Run]:
        """The named runs; for the topic of all, the newest unfinished ones and then the newest of all."""
        if ALL_RUNS not in topics:
            return [await self.house.store.run(topic.partition(":")[2]) for topic in topics]
        live = await self.house.store.runs(RunFilter(states=tuple(LIVE_STATES)), limit=SNAPSHOT_MAX)
        newest = await self.house.store.runs(limit=SNAPSHOT_MAX - len(live)) if len(live) < SNAPSHOT_MAX else []
        return list({run.id: run for run in [*newest, *live]}.values())


def _refuse_unknown(topic: str) -> None:
    if topic != ALL_RUNS and not topic.startswith(("run:", "log:")):
        accepted = "runs, run:ID, log:ID"
        raise Invalid("there is no such topic", [Problem(f"topic is {topic!r}", "/topics", suggestion=accepted)])
