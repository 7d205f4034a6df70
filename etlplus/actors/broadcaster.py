"""
The broadcaster: numbers what happened, encodes it once, and hands it to every watcher who follows the topic.

It never waits for a watcher: one without room is let go. Of one run, nothing older is told after something newer, whichever
node it happened on. The newest progress of every run in hand is remembered, so that a new watcher's snapshot is as good as an
old watcher's sum of deltas.
"""

from __future__ import annotations

from typing import NoReturn

import trio

from etlplus.actors.messages import Broadcasting, Choked, Unwatch, Watch
from etlplus.actors.news import LogNews, ProgressNews, RunNews
from etlplus.actors.newsroom import ALL_RUNS, Advance, Item, Lines, Newsroom, Stirred, log_topic, topic_of
from etlplus.actors.watchers import SCHEDULES, Subscription
from etlplus.jobs.model import Run, RunState
from etlplus.jobs.ticks import SCHEDULED
from etlplus.jobs.views import RunView, run_view
from etlplus.runtime import Actor

SLICE_MAX = 50
"""So many pieces in one go: a watcher has room for a few times as many, and takes some out in between."""


class Broadcaster(Actor[Broadcasting]):
    """See the module."""

    def __init__(self, room: Newsroom) -> None:
        self._room = room

    async def started(self) -> None:
        self.ctx.pipe(self._spread(), lambda _: Choked("it ended"), lambda error: Choked(repr(error)))

    @Choked.handler
    def choked(self, message: Choked) -> None:
        raise RuntimeError(f"the news cannot be spread: {message.error}")

    @Watch.handler
    def watch(self, message: Watch) -> Subscription:
        return self._room.watchers.add(message.topics, capacity=message.capacity, position=self._room.last)

    @Unwatch.handler
    def unwatch(self, message: Unwatch) -> None:
        self._room.watchers.remove(message.watcher)

    async def _spread(self) -> NoReturn:
        room = self._room
        while True:
            await room.here.wait()
            if room.here.missed:
                room.here.missed = False
                room.watchers.miss()
            for item in room.here.take(SLICE_MAX):
                self._tell(item)
            await trio.lowlevel.checkpoint()

    def _tell(self, item: Item) -> None:
        room = self._room
        if isinstance(item, Stirred):
            self._stir(item)
        elif isinstance(item, Lines):
            news = LogNews(room.next_number(), room.now(), item.run_id, item.attempt, item.lines)
            room.give((log_topic(item.run_id),), news)
        elif isinstance(item, Advance):
            room.progress[item.run_id] = item.progress
            news = ProgressNews(room.next_number(), room.now(), item.run_id, item.version, item.attempt, item.progress)
            room.give((ALL_RUNS, topic_of(item.run_id)), news)
        elif room.is_new(item):
            room.progress.pop(item.id, None)
            self._tell_run(item)

    def _tell_run(self, run: Run | RunView) -> None:
        number, topics = self._room.next_number(), (ALL_RUNS, topic_of(run.id))
        if self._room.watchers.follow(topics):
            view = run_view(run) if isinstance(run, Run) else run
            self._room.give(topics, RunNews(number, self._room.now(), view))
        if run.cause == SCHEDULED and run.state == RunState.FAILED:
            self._stir(Stirred(SCHEDULES, (run.job_id,)))  # so many failures in a row may have paused the job

    def _stir(self, item: Stirred) -> None:
        """What nobody watches need not be looked at: whoever comes gets a snapshot."""
        if self._room.watchers.follow((item.topic,)):
            self._room.stirs[item.topic].add(item.ids)
