"""The clock of the database server jumps, while two nodes go by it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from nodes_kit import until

import etlplus
from etlplus.app.staff import Rhythm, staff
from etlplus.service.local import Service
from etlplus.settings import Engine, Lease, Settings, Store
from etlplus.store.postgres.bridge import open_bridge

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)
EXPIRY_S = 2.0
RESCUE_S = 0.1
JUMPS = (HOUR, 0 * HOUR, HOUR, 2 * HOUR, HOUR, -HOUR, HOUR, 0 * HOUR)
"""How far ahead it is, one after the other."""
SHADOW = """
    ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO clock_of_the_machine;
    CREATE TABLE public.jump AS SELECT interval '0' AS ahead;
    CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_of_the_machine() + ahead FROM public.jump';
"""
"""Puts a clock that can be set in the place of the database's own."""


@pytest.fixture(autouse=True)
def often_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etlplus.app.opening.staff", partial(staff, rhythm=Rhythm(rescue_s=RESCUE_S)))


@asynccontextmanager
async def node(folder: Path, address: str, *functions: Any) -> AsyncGenerator[Service]:
    settings = Settings(
        data_dir=str(folder),
        engine=Engine(slots=1, spares=False),
        lease=Lease(beat_s=0.25, expiry_s=EXPIRY_S),
        store=Store(url=address),
    )
    async with etlplus.open_service(settings, functions=functions) as service:
        yield service


def ahead_of_machine(service: Service) -> timedelta:
    return service.house.now() - datetime.now(UTC)


async def test_a_server_whose_clock_jumps_takes_no_run_from_who_holds_it(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    """Forward and back by an hour, again and again: all go by the new time at once, and the other node, which judges leases ten
    times a second, never takes the run of one that lives.
    """
    address, begun, enough, judged = new_database(), list[int](), trio.Event(), 0

    @etlplus.job("work")
    async def work(context: etlplus.RunContext) -> None:
        begun.append(context.attempt)
        await enough.wait()

    async with open_bridge(address, "public") as outside:
        await outside.run(lambda db: db.execute(SHADOW))
    async with (
        open_bridge(address, "public") as outside,
        node(tmp_path / "carrier", address, work) as carrier,
        node(tmp_path / "judge", address) as judge,
    ):
        rescue = judge.house.store.rescue

        async def counted_rescue(**options: Any) -> Any:
            nonlocal judged
            rescued = await rescue(**options)
            judged += 1
            return rescued

        judge.house.store.rescue = counted_rescue  # type: ignore[method-assign]  # the real one, counted
        run = await carrier.runs.start("work")
        await until(lambda: begun == [1] and judged > 0)
        for ahead in JUMPS:
            await outside.run(lambda db, ahead=ahead: db.execute("UPDATE jump SET ahead = $1", ahead))
            await until(
                lambda ahead=ahead: all(abs(ahead_of_machine(each) - ahead) < HOUR / 2 for each in (carrier, judge))
            )
            before = judged
            await until(lambda before=before: judged > before + 2)
        before = judged
        await until(lambda: judged > before + 2 * EXPIRY_S / RESCUE_S)
        assert (await carrier.runs.get(run.id)).attempt == 1
        enough.set()
        await until(lambda: not carrier.house.standing.aboard)
    assert begun == [1]
