"""
Bulletins: what happened on one node, as others read it.

Each says what a few moments brought: transitions whole and in order, progress once a second, and of logs and boards only
that there is something new, since what that is stands in the store. Bulletins of a worker are numbered without gaps, and one
that could not say everything says so. Whatever may have been lost is made up for by a new snapshot for everybody who watches.
"""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec
import structlog
import trio

from etlplus.actors.newsroom import Advance, Item, Lines, Newsroom, Stirred, log_topic
from etlplus.jobs.model import Run
from etlplus.jobs.views import RunView, run_view
from etlplus.store.contract import Bulletin, NodeStore, ReadStore

log = structlog.get_logger()

ITEMS_MAX = 250
PROGRESS_EVERY_S = 1.0
SNAPSHOT_EVERY_S = 1.0
"""However often something is lost, everybody gets one snapshot in so long."""


Number = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
"""What the store can look for."""


class Grown(msgspec.Struct, frozen=True, array_like=True):
    """The log of an attempt has these lines now, by their numbers."""

    run_id: str
    attempt: Number
    first: Number
    last: Number

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError("a log grows by one line at least")


class Body(msgspec.Struct, frozen=True, array_like=True):
    """What a bulletin says. ``gap``: something that happened before was not said by any."""

    gap: bool = False
    runs: list[RunView] = []
    grown: list[Grown] = []
    advances: list[Advance] = []
    stirred: list[Stirred] = []

    @property
    def says_something(self) -> bool:
        return self.gap or bool(self.runs or self.grown or self.advances or self.stirred)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Body).decode


class Press:
    """Makes this worker's bulletins. One is in hand until it is published; it outlives a crash of whoever publishes."""

    def __init__(self, room: Newsroom) -> None:
        self._room = room
        self._worker_id = ""
        self._number = 0
        self._gap = True
        self._in_hand: Bulletin | None = None
        self._advances: dict[str, Advance] = {}
        self._advanced_at = float("-inf")

    def begin(self) -> None:
        """What happened until now was for nobody."""
        self._gap = True

    def next(self, worker_id: str) -> Bulletin | None:
        """The bulletin to publish now, if there is anything to say; the same until it is ``published``."""
        if worker_id != self._worker_id:
            self._worker_id, self._number, self._in_hand, self._gap = worker_id, 0, None, True
        if self._in_hand is None and (body := self._body()):
            self._number += 1
            self._in_hand = Bulletin(worker_id, self._number, _encode(body))
        return self._in_hand

    def published(self) -> None:
        """The one in hand is."""
        self._in_hand = None

    def _body(self) -> Body | None:
        tray = self._room.abroad
        gap, self._gap, tray.missed = self._gap or tray.missed, False, False
        runs: list[RunView] = []
        grown: list[Grown] = []
        stirred: list[Stirred] = []
        for item in tray.take(ITEMS_MAX):
            if isinstance(item, Advance):
                self._advances[item.run_id] = item
            elif isinstance(item, Lines):
                grown.append(Grown(item.run_id, item.attempt, item.lines[0].number, item.lines[-1].number))
            elif isinstance(item, Stirred):
                stirred.append(item)
            else:
                self._advances.pop(item.id, None)
                runs.append(run_view(item) if isinstance(item, Run) else item)
        body = Body(gap, runs, grown, self._due_advances(), stirred)
        return body if body.says_something else None

    def _due_advances(self) -> list[Advance]:
        now = trio.current_time()
        if not self._advances or now - self._advanced_at < PROGRESS_EVERY_S:
            return []
        self._advanced_at = now
        advances, self._advances = list(self._advances.values()), {}
        return advances


class Library(ReadStore, NodeStore, Protocol):
    """What a reader asks of the store."""


class Reader:
    """Reads what others publish, and tells the watchers here.

    Attributes:
        silent: Of the others, those who have published nothing since this one began to read.
    """

    def __init__(self, store: Library, room: Newsroom) -> None:
        self._store = store
        self._room = room
        self._after: dict[str, int] = {}
        self._others: frozenset[str] = frozenset()
        self._strangers: frozenset[str] = frozenset()
        self.silent: frozenset[str] = frozenset()
        self._lost = self._told = False
        self._snapshot_at = float("-inf")

    async def begin(self, worker_id: str) -> None:
        """From here on nothing is missed that others publish."""
        self._after = await self._store.bulletin_numbers(worker_id)
        self._others = self.silent = frozenset(self._after)
        self._told = False

    def tell(self) -> None:
        """Watchers are let in from here on: what was lost before is in the snapshots that they get."""
        self._lost, self._told = False, True

    async def read(self, worker_id: str) -> bool:
        """Tell what is new; True if there is more."""
        found = await self._store.bulletins(worker_id, self._after)
        self._lost |= bool(self._others - found.workers)
        self._others = found.workers
        self._strangers &= found.workers
        self.silent = self.silent & found.workers - {bulletin.worker_id for bulletin in found.bulletins}
        items: list[Item] = []
        try:
            for bulletin in found.bulletins:
                items += await self._items(bulletin)
                self._after[bulletin.worker_id] = bulletin.number
        finally:
            self._make_up()
            self._room.here.lay(items)
        return found.more

    async def _items(self, bulletin: Bulletin) -> list[Item]:
        """What a bulletin tells; if the store cannot be asked about that, it is read again."""
        body = self._understood(bulletin)
        lines = await self._lines(body.grown)
        self._lost |= body.gap or bulletin.number != self._after.get(bulletin.worker_id, 0) + 1
        stirred = [each for each in body.stirred if each.topic in self._room.stirs]
        if len(stirred) < len(body.stirred):
            self._puzzled_by(bulletin, "it names a board that is not known here")
        return [*body.runs, *lines, *body.advances, *stirred]

    def _understood(self, bulletin: Bulletin) -> Body:
        """What a bulletin says. A worker of another version may write what cannot be read here; then something was not said."""
        try:
            return _decode(bulletin.body)
        except (ValueError, RecursionError) as error:
            self._puzzled_by(bulletin, str(error))
            return Body(gap=True)

    def _puzzled_by(self, bulletin: Bulletin, why: str) -> None:
        """Tell of it, once for each worker."""
        if bulletin.worker_id not in self._strangers:
            self._strangers |= {bulletin.worker_id}
            log.warning("bulletin_not_understood", worker=bulletin.worker_id, number=bulletin.number, error=why)

    async def _lines(self, grown: list[Grown]) -> list[Lines]:
        found: list[Lines] = []
        for each in grown:
            if self._room.watchers.follow([log_topic(each.run_id)]):
                amount = each.last - each.first + 1
                lines = await self._store.log(each.run_id, each.attempt, after=each.first - 1, limit=amount)
                found.append(Lines(each.run_id, each.attempt, tuple(lines)))
        return found

    def _make_up(self) -> None:
        now = trio.current_time()
        if self._lost and self._told and now - self._snapshot_at >= SNAPSHOT_EVERY_S:
            self._lost, self._snapshot_at = False, now
            self._room.here.miss()
