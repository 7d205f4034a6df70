"""
Who listens, and to what: the broadcaster's list of watchers, as plain data without an actor.

A watcher that falls behind is let go so that the others are not held up: its queue is bounded, and the first piece of news
that finds no room closes it.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

QUEUES, SCHEDULES, WORKERS = "queues", "schedules", "workers"
BOARDS = frozenset({QUEUES, SCHEDULES, WORKERS})
"""Topics of what stands somewhere and is looked at, unlike what happens to runs and is told by whoever does it."""


class Subscription:
    """One watcher: the topics it follows and the news it has not fetched yet, as encoded bytes.

    It hears of a board from the moment on in which it is let in, which is that of the snapshot that it gets. When ``news`` has
    ended: the watcher ``lagged``, or news were ``missed`` before they could be told to anybody.
    """

    def __init__(self, watcher: int, topics: Iterable[str], *, capacity: int, position: int) -> None:
        self.watcher = watcher
        self.topics = frozenset(topics)
        self.hears = self.topics - BOARDS
        self.position = position
        self.lagged = self.missed = False
        self._send, self.news = trio.open_memory_channel[bytes](capacity)

    def let_in(self, topic: str) -> None:
        """Hear of a board from now on."""
        self.hears |= {topic}

    def offer(self, encoded: bytes) -> bool:
        """Queue one piece of news; False when there is no room or nobody listens, and the watcher is let go."""
        try:
            self._send.send_nowait(encoded)
        except trio.WouldBlock:
            self.lagged = True
        except trio.BrokenResourceError:
            pass  # the watcher closed its end and has not said so yet
        else:
            return True
        self.close()
        return False

    def close(self) -> None:
        """End the watcher's iteration once it has fetched what is queued."""
        self._send.close()


class Watchers:
    """All watchers, by topic. ``let_go`` counts those dropped because they fell behind."""

    def __init__(self) -> None:
        self._by_id: dict[int, Subscription] = {}
        self._last = 0
        self._another = trio.Event()
        self.let_go = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, topics: Iterable[str], *, capacity: int, position: int) -> Subscription:
        """A new watcher; ``position`` is the number of the newest news it will not receive."""
        self._last += 1
        subscription = Subscription(self._last, topics, capacity=capacity, position=position)
        self._by_id[self._last] = subscription
        self._another.set()
        self._another = trio.Event()
        return subscription

    async def wait_some(self) -> None:
        """Return once anybody watches."""
        while not self._by_id:
            await self._another.wait()

    async def wait_followed(self, topic: str) -> None:
        """Return once anybody follows this topic."""
        while not self.follow((topic,)):
            await self._another.wait()

    def remove(self, watcher: int) -> None:
        """Forget a watcher; doing it twice is fine, since it may leave in the moment it is let go."""
        if subscription := self._by_id.pop(watcher, None):
            subscription.close()

    def follow(self, topics: Iterable[str]) -> bool:
        """Whether anybody follows one of these topics."""
        wanted = frozenset(topics)
        return any(each.topics & wanted for each in self._by_id.values())

    def miss(self) -> None:
        """Some news will never be told: everybody needs a new snapshot."""
        for watcher, subscription in list(self._by_id.items()):
            subscription.missed = True
            self.remove(watcher)

    def tell(self, topics: Iterable[str], encoded: bytes) -> None:
        """Give one piece of news to everybody who hears one of its topics."""
        wanted = frozenset(topics)
        for subscription in [each for each in self._by_id.values() if each.hears & wanted]:
            if not subscription.offer(encoded):
                del self._by_id[subscription.watcher]
                self.let_go += subscription.lagged

    def close(self) -> None:
        """Let everybody go."""
        for watcher in list(self._by_id):
            self.remove(watcher)
