"""
The tree as it is now, as plain records for dashboards and tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class ActorSnapshot(msgspec.Struct, frozen=True):
    """One actor: where it stands, how it is, how long its mailbox is, and what became of the messages it was sent.

    Attributes:
        status: ``new``, ``starting``, ``running``, ``waiting`` (for its restart), ``stopping``, ``wedged`` or ``stopped``.
        in_hand: Type of the message that it handles right now; empty if none.
        life: How many lives it has had, the present one included.
        last_crash: What it crashed with last; empty if it never did.
        state: What its own ``snapshot`` returns.
    """

    path: str
    status: str
    in_hand: str
    queued: int
    sent: int
    handled: int
    rejected: int
    dropped: int
    shed: int
    undelivered: int
    life: int
    last_crash: str
    state: object

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(self.life - 1, 0)

    @property
    def unaccounted(self) -> int:
        """Messages that went nowhere: 0 at every quiet point, or the runtime is at fault."""
        gone = self.handled + self.rejected + self.dropped + self.shed + self.undelivered
        return self.sent - gone - self.queued


class TreeSnapshot(msgspec.Struct, frozen=True):
    """A supervisor with its actors and supervisors, each in start order.

    Attributes:
        restarts: How many restarts it has carried out.
        restarts_left: How many more it has patience for within its window.
    """

    path: str
    strategy: str
    restarts: int
    restarts_left: int
    actors: list[ActorSnapshot]
    supervisors: list[TreeSnapshot]

    def walk(self) -> Iterator[ActorSnapshot]:
        """Every actor below."""
        yield from self.actors
        for each in self.supervisors:
            yield from each.walk()


class Statistics(msgspec.Struct, frozen=True):
    """What became of all messages of a system so far, over all actors that ever were in it.

    ``unaccounted`` is 0 at every quiet point: sent = handled + rejected + dropped + shed + undelivered + queued.
    """

    actors: int
    sent: int
    handled: int
    rejected: int
    dropped: int
    shed: int
    undelivered: int
    queued: int
    crashes: int
    dead_letters: int
    alarms: int

    @property
    def unaccounted(self) -> int:
        """Messages that went nowhere."""
        gone = self.handled + self.rejected + self.dropped + self.shed + self.undelivered
        return self.sent - gone - self.queued
