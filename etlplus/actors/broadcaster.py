"""
The broadcaster: numbers what happened, encodes it once, and hands it to every watcher who follows the topic.

It never waits: a watcher without room is let go. The newest progress of every run in hand is remembered, so that a new
watcher's snapshot is as good as an old watcher's sum of deltas.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from etlplus.actors.messages import Announce, AnnounceLog, AnnounceProgress, Broadcasting, Unwatch, Watch
from etlplus.actors.news import LogNews, News, ProgressNews, RunNews
from etlplus.actors.watchers import Subscription, Watchers
from etlplus.jobs.model import Run
from etlplus.jobs.outcome import Progress
from etlplus.jobs.views import run_view
from etlplus.runtime import Actor

ALL_RUNS = "runs"


def topic_of(run_id: str) -> str:
    """The topic of one run."""
    return f"run:{run_id}"


def log_topic(run_id: str) -> str:
    """The topic of what the attempts of one run write."""
    return f"log:{run_id}"


class Newsroom:
    """What outlives a crash of the broadcaster: who watches, the last number, and the newest progress by run."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.watchers = Watchers()
        self.last = 0
        self.progress: dict[str, Progress] = {}

    def next_number(self) -> int:
        self.last += 1
        return self.last


class Broadcaster(Actor[Broadcasting]):
    """See the module."""

    def __init__(self, room: Newsroom) -> None:
        self._room = room
        self._encoder = msgspec.json.Encoder()

    @Announce.handler
    def announce(self, message: Announce) -> None:
        for run in message.runs:
            self._announce(run)

    @AnnounceProgress.handler
    def announce_progress(self, message: AnnounceProgress) -> None:
        self._room.progress[message.run_id] = message.progress
        self._tell(
            message.run_id,
            ProgressNews(
                n=self._room.next_number(),
                at=self._room.now(),
                run_id=message.run_id,
                version=message.version,
                attempt=message.attempt,
                progress=message.progress,
            ),
        )

    @AnnounceLog.handler
    def announce_log(self, message: AnnounceLog) -> None:
        room = self._room
        news = LogNews(room.next_number(), room.now(), message.run_id, message.attempt, message.lines)
        self._room.watchers.tell((log_topic(message.run_id),), self._encoder.encode(news))

    @Watch.handler
    def watch(self, message: Watch) -> Subscription:
        return self._room.watchers.add(message.topics, capacity=message.capacity, position=self._room.last)

    @Unwatch.handler
    def unwatch(self, message: Unwatch) -> None:
        self._room.watchers.remove(message.watcher)

    def _announce(self, run: Run) -> None:
        room = self._room
        room.progress.pop(run.id, None)
        number = room.next_number()
        if room.watchers.followed((ALL_RUNS, topic_of(run.id))):
            self._tell(run.id, RunNews(n=number, at=room.now(), run=run_view(run)))

    def _tell(self, run_id: str, news: News) -> None:
        self._room.watchers.tell((ALL_RUNS, topic_of(run_id)), self._encoder.encode(news))
