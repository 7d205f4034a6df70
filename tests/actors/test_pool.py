"""The keeper of connections: what he looks at, when, and what he makes of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import trio
from trio.testing import MockClock

from etlplus.actors.messages import POOL, PoolView
from etlplus.actors.pool import PoolKeeper, StoreWatch
from etlplus.errors import StoreUnavailable
from etlplus.runtime import Supervisor, child, open_system
from etlplus.store.contract import Horizon
from etlplus.store.sqlite.body import open_sqlite

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LOOK_S = 5.0


def virtual_now() -> datetime:
    return EPOCH + timedelta(seconds=trio.current_time())


class Troubled:
    """What is wrong with a store, and what its keeper asked of it, with the second in which he did."""

    def __init__(self) -> None:
        self.out = self.silent = self.short = False
        self.asked: list[tuple[str, float]] = []
        self.watch = StoreWatch(EPOCH)

    @property
    def view(self) -> PoolView:
        return self.watch.view

    async def answer(self, name: str) -> None:
        self.asked.append((name, trio.current_time()))
        if name == "ping" and self.silent:
            await trio.sleep_forever()
        if (name == "ping" and self.out) or (name == "tend" and self.short):
            raise StoreUnavailable(f"no {name} today")

    def moments(self, name: str) -> list[float]:
        return [at for asked, at in self.asked if asked == name]


@asynccontextmanager
async def kept() -> AsyncGenerator[Troubled]:
    """A keeper at work on a store in memory, which answers as told."""
    trouble = Troubled()
    async with open_sqlite(None, Random(1)) as store:

        async def horizon() -> Horizon:
            await trouble.answer("horizon")
            return Horizon(oldest_s=trio.current_time())

        store.ping = lambda: trouble.answer("ping")  # type: ignore[method-assign]
        store.tend = lambda: trouble.answer("tend")  # type: ignore[method-assign]
        store.distrust = lambda: trouble.answer("distrust")  # type: ignore[method-assign]
        store.horizon = horizon  # type: ignore[method-assign]
        keeper = child(POOL, lambda: PoolKeeper(store, trouble.watch, virtual_now, every_s=LOOK_S, timeout_s=LOOK_S))
        async with open_system(Supervisor(keeper)):
            yield trouble


async def test_while_all_is_well_connections_are_looked_after(autojump_clock: MockClock) -> None:
    """Every few seconds the store is asked, and then its idle connections; nothing is ever dropped."""
    async with kept() as trouble:
        await trio.sleep(3 * LOOK_S + 1)
        assert trouble.moments("ping") == trouble.moments("tend") == [0, 5, 10, 15]
        assert trouble.moments("distrust") == []
        assert (trouble.view.up, trouble.view.since, trouble.view.horizon.oldest_s) == (True, EPOCH, 15)


async def test_an_outage_has_a_beginning_a_reason_and_an_end(autojump_clock: MockClock) -> None:
    """While it lasts he looks every second, and trusts no idle connection; what he saw of the store before stays."""
    async with kept() as trouble:
        await trio.sleep(LOOK_S + 1)
        trouble.out = True
        await trio.sleep(LOOK_S + 2.5)
        since = EPOCH + timedelta(seconds=10)
        assert (trouble.view.up, trouble.view.since, trouble.view.error) == (False, since, "no ping today")
        assert (trouble.view.outages, trouble.view.horizon.oldest_s) == (1, 5)
        assert trouble.moments("distrust") == [10, 11, 12, 13]
        trouble.out = False
        await trio.sleep(1)
        assert (trouble.view.up, trouble.view.since, trouble.view.error) == (True, EPOCH + timedelta(seconds=14), "")
        assert (trouble.view.outages, trouble.view.horizon.oldest_s) == (1, 14)


async def test_a_store_that_says_nothing_is_out(autojump_clock: MockClock) -> None:
    """Silence is no answer; how long was waited is the reason."""
    async with kept() as trouble:
        trouble.silent = True
        await trio.sleep(2 * LOOK_S + 1)
        assert (trouble.view.up, trouble.view.error) == (False, "no answer within 5.0 s")
        assert trouble.view.since == EPOCH + timedelta(seconds=10)


async def test_a_shortage_of_connections_is_no_outage(autojump_clock: MockClock) -> None:
    """The store answers and a connection cannot be had: that is another trouble, and health does not fail for it."""
    async with kept() as trouble:
        trouble.short = True
        await trio.sleep(2 * LOOK_S + 1)
        assert trouble.moments("tend") == [0, 5, 10]
        assert (trouble.view.up, trouble.view.outages, trouble.view.horizon.oldest_s) == (True, 0, 0)
        assert trouble.moments("distrust") == []
