"""
The store that all nodes share, with its troubles: it can be away, and be started again amid whatever is asked of it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any, Protocol

import trio

from etlplus.engines.contract import Lease
from etlplus.errors import StoreUnavailable
from etlplus.jobs.rates import Rate
from etlplus.store.contract import Taken
from etlplus.store.sqlite import schema
from etlplus.store.sqlite.body import SqliteStore
from etlplus.store.sqlite.readers import InlineReaders
from etlplus.store.sqlite.writer import InlineWriter

from .seat import Hearer, Seat
from .times import virtual_now, virtual_time

LATENCY_S = 0.05
_IN_HAND = """
    SELECT lane.queue, lane.limit_key, sum(state = 'running'), sum(state = 'queued')
    FROM run_live JOIN lane ON lane.id = run_live.lane GROUP BY 1, 2
"""


class Carrier(Protocol):
    """Who carries an attempt."""

    dead: bool


class House:
    """See the module.

    Attributes:
        caps: How many runs may be in hand at once, by limit key, by ``/queue``, and by ``*`` for all.
        rates: How many runs may begin in a while, by limit key.
        begun: When runs of these keys began: the earliest time that anybody may take for it, and the latest.
        broken: What was seen that must never be.
        seen: How often each kind of trouble came about.
        silent: Nobody hears a bell.
        tells_time: Nodes go by the store's clock, and else each by that of its machine.
        clock_off_s: How far the clock of a node was ever off when it had just asked the store.
        jumps: How often the clock of the store has jumped.
        at_work: By run, the attempts that go on, each with the process that carries it and the lease under which it does.
    """

    def __init__(self, db: sqlite3.Connection, rng: Random) -> None:
        self.store = SqliteStore(InlineWriter(db), InlineReaders(db), rng)
        self.caps: dict[str, int] = {}
        self.rates: dict[str, Rate] = {}
        self.begun: defaultdict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
        self.broken: list[str] = []
        self.seen: Counter[str] = Counter()
        self.away = False
        self.starts = 1
        self.calm = self.silent = self.tells_time = False
        self.clock_off_s = 0.0
        self.jumps = 0
        self.at_work: defaultdict[str, dict[Carrier, Lease]] = defaultdict(dict)
        self.hearers: dict[Hearer, SqliteStore] = {}
        self._ahead_s = self._most_ahead_s = 0.0
        self._latest = virtual_time(0)
        self._db = db

    def new_seat(self) -> Seat:
        """The store as one more node has it."""
        return Seat(self)

    def restart(self) -> None:
        """Whatever is under way is left without an answer, whether it took effect or not."""
        self.starts += 1

    def now(self) -> datetime:
        """What the clock of the store shows."""
        return virtual_now() + timedelta(seconds=self._ahead_s)

    def jump(self, by_s: float) -> None:
        """Set the clock of the store."""
        self._ahead_s += by_s
        self._most_ahead_s = max(self._most_ahead_s, self._ahead_s)
        self.jumps += 1

    def latest(self) -> datetime:
        """The latest time that anybody may take for it who has ever asked the store."""
        return virtual_now() + timedelta(seconds=self._most_ahead_s)

    @contextmanager
    def working(self, run_id: str, carrier: Carrier, lease: Lease) -> Generator[None]:
        """An attempt goes on. As long as somebody may believe that a run is his, nobody else begins it who may believe the same;
        who has lost his lease may begin late, and ends at once.
        """
        others = self.at_work[run_id]
        for other, its in others.items():
            left_s = its.deadline - trio.current_time()
            if self.tells_time and left_s > 0 and not other.dead and lease.deadline > trio.current_time():
                self.broken.append(f"{run_id} was begun while {other} held it for {left_s} s more")
        others[carrier] = lease
        try:
            yield
        finally:
            del others[carrier]

    def look_at_claim(self, taken: Taken, now: datetime) -> None:
        """What was claimed just now, by a clock that showed ``now``."""
        truly = self.now()
        self._latest = max(self._latest, now, truly)
        self.seen["waited for a token"] += taken.next_at is not None
        for run in (each.run for each in taken.claimed):
            for key in self.rates.keys() & {run.limit_key, "*"}:
                self.begun[key].append((min(now, truly), self._latest))
            early_s = (run.run_at - self.latest()).total_seconds()
            if self.tells_time and early_s > self.clock_off_s:
                self.broken.append(f"{run} began {early_s} s before its time")
        if taken.claimed:
            self._look_at_limits()

    def _look_at_limits(self) -> None:
        """Right after a claim is when a limit would be exceeded."""
        running: Counter[str] = Counter()
        waiting: set[str] = set()
        for queue, key, in_hand, queued in self._db.execute(_IN_HAND):
            keys = {"*", f"/{queue}", key} & self.caps.keys()
            running.update(dict.fromkeys(keys, in_hand))
            waiting |= keys if queued else set()
        for key, cap in self.caps.items():
            if running[key] > cap:
                self.broken.append(f"{running[key]} at once under {key}, which allows {cap}")
            if running[key] == cap and key in waiting:
                self.seen["waited for a limit"] += 1

    def left_behind(self) -> dict[str, int]:
        """Slots that are held, and runs that are unfinished."""
        (slots,) = self._db.execute("SELECT count(*) FROM limit_slot WHERE run_id IS NOT NULL").fetchone()
        (runs,) = self._db.execute("SELECT count(*) FROM run_live").fetchone()
        return {what: amount for what, amount in (("slots", slots), ("runs", runs)) if amount}


@contextmanager
def open_house(rng: Random) -> Generator[House]:
    """An empty store in memory, as the migrations make it."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.deserialize(_empty())
        yield House(db, rng)
    finally:
        db.close()


@cache
def _empty() -> bytes:
    """Made once for all nights: a night takes some fifty milliseconds, and the schema one of them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db)
        return db.serialize()


class Asking(Protocol):
    """Who asks: a process, which can be dead, cut off, or frozen."""

    dead: bool
    cut_off: bool
    rng: Random

    async def wait_thawed(self) -> None: ...


class Line:
    """A process's way to the store. It takes a moment there and sometimes back, and what is under way can get lost."""

    def __init__(self, house: House, asking: Asking) -> None:
        self._house = house
        self._asking = asking
        self.seat = house.new_seat()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.seat, name)
        if name in ("pull", "wait_pulled", "distrust"):
            return call  # it asks the store nothing

        async def asked(*args: Any, **kwargs: Any) -> Any:
            starts = self._house.starts
            await self._travel()
            if (why := self._fails(starts)) is not None:
                raise StoreUnavailable(why)
            answer = await call(*args, **kwargs)
            if name == "claim":
                self._house.look_at_claim(answer, kwargs["now"])
            elif name == "hand_over":
                self._house.look_at_claim(answer.taken, kwargs["now"])
                self._house.seen["handed over"] += bool(answer.taken.claimed)
            await self._bring_back(starts)
            return answer

        setattr(self, name, asked)
        return asked

    async def _travel(self) -> None:
        await trio.sleep(self._asking.rng.uniform(0, LATENCY_S))
        await self._asking.wait_thawed()

    async def _bring_back(self, starts: int) -> None:
        chance = self._asking.rng.random()
        if self._house.calm or chance > 0.25:
            return
        await self._travel()
        why = "the answer was lost" if chance < 0.02 else self._fails(starts)
        if why is not None:
            self._house.seen["lost answer"] += 1
            raise StoreUnavailable(why)

    def _fails(self, starts: int) -> str | None:
        if self._asking.dead:
            return "whoever asks is gone"
        if self._asking.cut_off:
            return "cut off"
        if self._house.away:
            return "the store is away"
        return "the store was started again" if self._house.starts != starts else None
