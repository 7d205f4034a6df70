"""
The newsroom: what has happened and was not told yet, here and to other nodes; who watches; the newest progress of every run.

Whoever makes something happen lays it down here, without waiting and without being refused. There is room for so much; when
more comes than can be told, all of it is forgotten, and whoever watches gets a new snapshot instead: nothing is lost in
silence. These records outlive the actors that work in here.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice

import msgspec
import trio

from etlplus.actors.news import News
from etlplus.actors.watchers import BOARDS, Watchers
from etlplus.jobs.logs import LogLine
from etlplus.jobs.model import Run
from etlplus.jobs.outcome import Progress
from etlplus.jobs.views import RunView

HERE_MAX = 10_000
ABROAD_MAX = 500
"""More than a person can follow; a burn of thousands a second is not worth the store's while."""
VERSIONS_MAX = 10_000
"""So many runs are remembered; of one that was forgotten, something old may be told again."""

ALL_RUNS = "runs"


def topic_of(run_id: str) -> str:
    """The topic of one run."""
    return f"run:{run_id}"


def log_topic(run_id: str) -> str:
    """The topic of what the attempts of one run write."""
    return f"log:{run_id}"


class Advance(msgspec.Struct, frozen=True, array_like=True):
    """An attempt in hand came further."""

    run_id: str
    version: int
    attempt: int
    progress: Progress


class Lines(msgspec.Struct, frozen=True):
    """An attempt in hand wrote these lines, and they are stored."""

    run_id: str
    attempt: int
    lines: tuple[LogLine, ...]


class Stirred(msgspec.Struct, frozen=True, array_like=True):
    """Something on a board is not as it was; of schedules, those of the jobs with these ids."""

    topic: str
    ids: tuple[str, ...] = ()


Item = Run | RunView | Advance | Lines | Stirred


class Tray:
    """What was laid down and not taken yet, in order. ``missed``: there was more than there was room for, and it is gone."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._some = trio.Event()
        self.missed = False

    def lay(self, items: Iterable[Item]) -> None:
        """Lay down, or forget all of it."""
        self._items.extend(items)
        if len(self._items) > self._capacity:
            self.miss()
        self._some.set()

    def miss(self) -> None:
        """Forget what lies here; whoever takes next is told."""
        self._items.clear()
        self.missed = True
        self._some.set()

    def take(self, most: int) -> list[Item]:
        """Up to ``most`` of what lies here."""
        taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        if not self._items and self._some.is_set():
            self._some = trio.Event()
        return taken

    async def wait(self) -> None:
        """Return once something lies here, or was missed."""
        await self._some.wait()


class Stir:
    """That a board should be looked at, and of which ids, in order, each once."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._some = trio.Event()

    def add(self, ids: Iterable[str]) -> None:
        """Have it looked at."""
        self._ids.update(dict.fromkeys(ids))
        self._some.set()

    def take(self, most: int) -> list[str]:
        """Up to ``most`` of the ids; somebody looks now."""
        taken = list(islice(self._ids, most))
        for each in taken:
            del self._ids[each]
        if not self._ids:
            self.clear()
        return taken

    def clear(self) -> None:
        """Nothing is to be looked at any more."""
        self._ids.clear()
        if self._some.is_set():
            self._some = trio.Event()

    async def wait(self) -> None:
        """Return once there is something to look at."""
        await self._some.wait()


class Newsroom:
    """See the module.

    Attributes:
        last: The number of the newest piece of news.
        progress: The newest progress of every run in hand.
        stirs: For each board, whether it should be looked at.
        attends: Whether this node follows what others publish, or is about to, since somebody watches here.
        audience: Whether another node follows what this one publishes.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.watchers = Watchers()
        self.here, self.abroad = Tray(HERE_MAX), Tray(ABROAD_MAX)
        self.last = 0
        self.progress: dict[str, Progress] = {}
        self.stirs = {topic: Stir() for topic in sorted(BOARDS)}
        self.attends = self.audience = False
        self._attended, self._heeded = trio.Event(), trio.Event()
        self._unattended = False
        self._versions: OrderedDict[str, int] = OrderedDict()
        self._encode = msgspec.json.Encoder().encode

    def tell(self, *items: Item) -> None:
        """Something happened on this node."""
        self.here.lay(items)
        if self.audience:
            self.abroad.lay(items)

    def approach(self) -> None:
        """This node is about to follow what others publish, and they are to hear of it."""
        self.attends = True

    def attend(self, *, attends: bool) -> None:
        """This node begins to follow what others publish, or ends. Whoever could not wait for that watched in vain."""
        if attends and (self._attended.is_set() or self._unattended):
            self.here.miss()
        self.attends, self._unattended = attends, False
        self._attended = _signal(self._attended, attends)

    async def wait_attended(self, within_s: float) -> None:
        """Return once this node follows the others, or it takes too long; in that case a snapshot will come then."""
        with trio.move_on_after(within_s) as limit:
            await self._attended.wait()
        self._unattended |= limit.cancelled_caught

    def heed(self, *, audience: bool) -> None:
        """Others follow this node from now on, or do not any more."""
        self.audience = audience
        self._heeded = _signal(self._heeded, audience)

    async def wait_audience(self) -> None:
        """Return once another node follows this one."""
        await self._heeded.wait()

    def next_number(self) -> int:
        self.last += 1
        return self.last

    def give(self, topics: tuple[str, ...], news: News) -> None:
        """Encode a piece of news once, and hand it to everybody who hears one of these topics."""
        if self.watchers.follow(topics):
            self.watchers.tell(topics, self._encode(news))

    def is_new(self, run: Run | RunView) -> bool:
        """Whether nothing as new was told of the run; from now on it was."""
        if run.version <= self._versions.get(run.id, 0):
            return False
        self._versions[run.id] = run.version
        self._versions.move_to_end(run.id)
        if len(self._versions) > VERSIONS_MAX:
            self._versions.popitem(last=False)
        return True


def _signal(event: trio.Event, holds: bool) -> trio.Event:
    """The event that tells of a state from now on; whoever waits for one that is not set goes on waiting for the same."""
    if holds:
        event.set()
        return event
    return trio.Event() if event.is_set() else event
