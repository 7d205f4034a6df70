"""
The connections of one lane: who may have one, which one that is, and for how long a connection lives.

The permit comes first, on Trio's side: whoever finds none free waits there in line, where being cancelled or giving up costs
nothing. Whoever holds a permit finds an idle connection or room to open one, so on asyncio's side no unit ever waits for
another. A connection is never trusted because it looks alive: one that was idle for long is asked before a unit gets it,
and none grows older than its lifetime.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

import trio

from etlplus.errors import StoreUnavailable
from etlplus.store.pooling import LaneFigures, Pooling
from etlplus.telemetry.histogram import Histogram

CLEAN_UP_WITHIN_S = 2.0
"""What a rollback, a farewell or a question after one's health may take, before the connection is cut."""
LIFETIME_JITTER = 0.2
"""Share of its lifetime by which a connection may go earlier, so that those opened together do not go together."""
WAITS_S = (0.0, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


class Lane(StrEnum):
    """Which connections a unit travels on."""

    BEAT = "beat"
    CLAIM = "claim"
    SETTLE = "settle"
    GENERAL = "general"


class Fate(StrEnum):
    """What should become of a connection that nobody uses."""

    KEEP = "keep"
    ASK = "ask"
    CLOSE = "close"


@dataclass(slots=True, eq=False)
class Held:
    """A connection and its times, in seconds on the loop's clock: when it retires, was last used, and last heard of."""

    db: Any
    retires_at: float
    used_at: float
    heard_at: float


def fate(held: Held, rules: Pooling, *, spare: bool, now: float) -> Fate:
    """Judge an idle connection: too old, ``spare`` and unused for long, or silent for so long that it must be asked."""
    if now >= held.retires_at or (spare and now - held.used_at >= rules.idle_s):
        return Fate.CLOSE
    return Fate.ASK if now - held.heard_at >= rules.check_s else Fate.KEEP


class Connections:
    """At least ``least`` and at most ``most`` connections, opened by ``connect`` when they are needed.

    Waiting is fair: first come, first served. The one that was used last is used next, so that spare ones become idle.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Awaitable[Any]],
        rules: Pooling,
        rng: Random,
        *,
        least: int,
        most: int,
    ) -> None:
        self._name = name
        self._connect = connect
        self._rules = rules
        self._rng = rng
        self._least = least
        self._most = most
        self._permits = trio.Semaphore(most)
        self._idle: list[Held] = []
        self._opening = self._opened = self._closed = self._waiting = 0
        self._waits = Histogram(WAITS_S)

    def figures(self) -> LaneFigures:
        """How it is now."""
        return LaneFigures(
            in_use=self._most - self._permits.value,
            idle=len(self._idle),
            waiting=self._waiting,
            opened=self._opened,
            closed=self._closed,
            waits=self._waits,
        )

    # Trio's side

    async def admit(self) -> None:
        """Get a permit; ``leave`` gives it back.

        Raises:
            StoreUnavailable: none became free in time.
        """
        if self.admit_nowait():
            self._waits.note(0.0)
            return
        began = trio.current_time()
        self._waiting += 1
        try:
            with trio.move_on_after(self._rules.acquire_timeout_s) as scope:
                await self._permits.acquire()
        finally:
            self._waiting -= 1
            self._waits.note(trio.current_time() - began)
        if scope.cancelled_caught:
            raise StoreUnavailable(
                f"no connection of the lane {self._name} was free within {self._rules.acquire_timeout_s:g} s: "
                f"all {self._most} are in use, and {self._waiting} others wait"
            )

    def admit_nowait(self) -> bool:
        """Get a permit if one is free."""
        if not self._permits.value:
            return False
        self._permits.acquire_nowait()
        return True

    def leave(self) -> None:
        """Give a permit back."""
        self._permits.release()

    # asyncio's side; except for ``distrust``, only with a permit in hand

    async def take(self) -> Held:
        """A connection that nobody else has; ``give_back`` returns it."""
        while self._idle:
            held = self._idle.pop()
            if not held.db.is_closed():
                return held
            self._drop(held)
        return await self._open()

    async def give_back(self, held: Held) -> None:
        """Take a connection back, unless it is broken or has lived long enough."""
        held.used_at = held.heard_at = now = trio.current_time()
        if held.db.is_closed():
            self._drop(held)
        elif now >= held.retires_at:
            await self._retire(held)
        else:
            self._idle.append(held)

    async def tend(self) -> None:
        """Close what is too old or spare, ask what was silent for long, and open what is missing."""
        for held in tuple(self._idle):
            if held in self._idle:  # a unit may have taken it while we waited for another
                await self._judge(held)
        while self._opening + self._opened - self._closed < self._least:
            self._idle.insert(0, await self._open())

    def distrust(self) -> None:
        """Drop all that are idle: they are of the time before an outage."""
        while self._idle:
            self._drop(self._idle.pop())

    async def close(self) -> None:
        """Close all that are idle, in order."""
        while self._idle:
            await self._retire(self._idle.pop())

    async def _judge(self, held: Held) -> None:
        spare = self._opened - self._closed > self._least
        verdict = fate(held, self._rules, spare=spare, now=trio.current_time())
        if held.db.is_closed() or verdict is not Fate.KEEP:
            self._idle.remove(held)
            if verdict is Fate.ASK and await self._answers(held):
                self._idle.insert(0, held)
            else:
                await self._retire(held)

    async def _answers(self, held: Held) -> bool:
        try:
            async with asyncio.timeout(CLEAN_UP_WITHIN_S):
                await held.db.execute("SELECT 1")
        except Exception:  # noqa: BLE001 - whatever it says instead: it is not fit for a unit
            held.db.terminate()
        except BaseException:
            self._drop(held)
            raise
        held.heard_at = trio.current_time()
        return not held.db.is_closed()

    async def _open(self) -> Held:
        self._opening += 1
        try:
            db = await self._connect()
        finally:
            self._opening -= 1
        self._opened += 1
        now = trio.current_time()
        lifetime_s = self._rules.lifetime_s * (1 - LIFETIME_JITTER * self._rng.random())
        return Held(db, retires_at=now + lifetime_s, used_at=now, heard_at=now)

    async def _retire(self, held: Held) -> None:
        """Say farewell, so that the server does not wonder; who cannot is cut."""
        try:
            await held.db.close(timeout=CLEAN_UP_WITHIN_S)
        except Exception:  # noqa: BLE001 - it was to go in any case
            held.db.terminate()
        finally:
            self._drop(held)

    def _drop(self, held: Held) -> None:
        held.db.terminate()
        self._closed += 1
