"""
What the jobs of the story do, written as a careful user would: each run has one effect in the same database, behind a fence.

An attempt first puts its number on the run's token, and later commits its effect only while the token still says so, in one
transaction. Beside that, and fenced by nothing, every attempt notes in a file when it begins and ends, so that afterwards it
is known what really happened.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec
import trio

import etlplus
from etlplus.engines.functions import Function
from etlplus.jobs.queues import LimitUse
from etlplus.store.postgres.bridge import Bridge, Db

SCHEMA = """
    CREATE SCHEMA IF NOT EXISTS chaos;
    CREATE TABLE chaos.token (run_id text PRIMARY KEY, attempt int NOT NULL, done bool NOT NULL DEFAULT false);
    CREATE TABLE chaos.effect (run_id text NOT NULL, attempt int NOT NULL, node text NOT NULL, at timestamptz NOT NULL);
"""
ENTER = """
    INSERT INTO chaos.token (run_id, attempt) VALUES ($1, $2)
    ON CONFLICT (run_id) DO UPDATE SET attempt = excluded.attempt
    WHERE token.attempt <= excluded.attempt AND NOT token.done
    RETURNING attempt
"""
COMMIT = """
    WITH mine AS (
        UPDATE chaos.token SET done = true WHERE run_id = $1 AND attempt = $2 AND NOT done RETURNING run_id
    )
    INSERT INTO chaos.effect SELECT run_id, $2, $3, clock_timestamp() FROM mine RETURNING run_id
"""
IS_DONE = "SELECT coalesce((SELECT done FROM chaos.token WHERE run_id = $1), false)"

PATIENT = etlplus.RetryPolicy(attempts_max=10, base_s=0.5, cap_s=5)
FATES = {"well": 0.88, "fails": 0.05, "fails_late": 0.03, "later": 0.02, "hopeless": 0.02}
"""What becomes of the first attempt, and how often: a failure before the effect or after it, a later time, or never."""
CUSTOMER_SLOTS = 3
HOUSE_SLOTS = 40
NARROW_SLOTS = 4


class Noted(msgspec.Struct, frozen=True):
    """A line in the file of a node: at which time of the machine an attempt began or ended, or the node became a worker."""

    at: float
    what: str
    pid: int
    run_id: str = ""
    attempt: int = 0
    worker_id: str = ""


class Journal:
    """Lines that survive a killed process: each goes to the system at once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, what: str, run_id: str = "", attempt: int = 0, worker_id: str = "") -> None:
        line = Noted(time.time(), what, os.getpid(), run_id, attempt, worker_id)
        os.write(self._file, msgspec.json.encode(line) + b"\n")


class Replaced(Exception):
    """Another attempt holds the token."""


class Work:
    """The functions of one node."""

    def __init__(self, bridge: Bridge, journal: Journal, node: str) -> None:
        self._bridge = bridge
        self._journal = journal
        self._node = node

    @property
    def functions(self) -> list[Function[Any]]:
        """The jobs."""

        @etlplus.job("pay", retry=PATIENT, limit=LimitUse("customer", by="customer"))
        async def pay(context: etlplus.RunContext, customer: int, fate: str, takes_s: float) -> None:
            await self.carry(context, fate, takes_s)

        @etlplus.job("free", retry=PATIENT)
        async def free(context: etlplus.RunContext, fate: str, takes_s: float) -> None:
            await self.carry(context, fate, takes_s)

        @etlplus.job("narrow", retry=PATIENT, queue="narrow", priority=-1)
        async def narrow(context: etlplus.RunContext, fate: str, takes_s: float) -> None:
            await self.carry(context, fate, takes_s)

        @etlplus.job("beat", retry=PATIENT)
        async def beat(context: etlplus.RunContext) -> None:
            await self.carry(context, "well", 0.1)

        return [pay, free, narrow, beat]

    async def carry(self, context: etlplus.RunContext, fate: str, takes_s: float) -> None:
        """One attempt, noted."""
        self._journal.note("begun", context.run_id, context.attempt)
        try:
            await self._carry(context, fate, takes_s)
        finally:
            self._journal.note("ended", context.run_id, context.attempt)

    async def _carry(self, context: etlplus.RunContext, fate: str, takes_s: float) -> None:
        if not await self._fenced(ENTER, context.run_id, context.attempt):
            return
        await trio.sleep(takes_s)
        first = context.attempt == 1
        if fate == "hopeless":
            raise etlplus.GiveUp("this was never to be")
        if fate == "fails" and first:
            raise RuntimeError("bad luck before the effect")
        if fate == "later" and first:
            raise etlplus.RetryLater("not now", after_s=1)
        await self._fenced(COMMIT, context.run_id, context.attempt, self._node)
        if fate == "fails_late" and first:
            raise RuntimeError("bad luck after the effect")

    async def _fenced(self, statement: str, run_id: str, *values: Any) -> bool:
        """Whether the statement took effect; False when the run's effect is there already."""

        async def unit(db: Db) -> bool:
            if await db.fetchval(statement, run_id, *values) is not None:
                return True
            if await db.fetchval(IS_DONE, run_id):
                return False
            raise Replaced(run_id)

        return await self._bridge.run(unit)
