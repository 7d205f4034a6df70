"""
Sessions of the server: how each is opened, and what is set for the units that travel in it.

Behind PgBouncer in transaction mode each transaction may meet another session. So nothing of ours may lie in one: every unit
is a transaction that brings its settings along, no statement is prepared beyond it, and locks end with it.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from etlplus.errors import Misconfigured, Problem
from etlplus.store.pooling import Pooling
from etlplus.store.postgres.lanes import Lane

_asyncpg: Any = asyncpg
"""It ships no types."""

CONNECT_WITHIN_S = 10.0
GONE_AFTER_MS = 500
"""How often the server looks, amid a query, whether we are still there; else a query that was cut would run to its end."""

FROZEN_AFTER_MS = 10_000
"""A unit asks on at once. One that does not, in the middle of its transaction, is of a process that stands still, and all who
need a row that it locked wait with it; so the server lets it go, well before a lease ends."""

FORCED_PLANS = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""On the hot path every statement goes from a few given rows to their lines by an index. A plan made while the tables were
small would say otherwise, and would be kept when they are not."""

LOOKED_UP = ("bool", "int4", "int8", "float8", "timestamptz", "json")
"""Types of which statements take arrays, and that asyncpg does not know of itself."""
_MEET_TYPES = "SELECT " + ", ".join(f"NULL::{name}[]" for name in LOOKED_UP)


class Sessions:
    """Sessions at one address, in which names without a schema mean those in ``schema``."""

    def __init__(self, dsn: str, schema: str, rules: Pooling) -> None:
        self._dsn = dsn
        self._schema = schema
        self._pooled = rules.pgbouncer

    async def open(self, lane: Lane) -> Any:
        """A connection of asyncpg's; behind a pooler, a place in its line."""
        settings = {"application_name": "etlplus", **({} if self._pooled else self._settings(lane))}
        cache = {"statement_cache_size": 0} if self._pooled else {}
        db = await _asyncpg.connect(self._dsn, timeout=CONNECT_WITHIN_S, server_settings=settings, **cache)
        await _learn_types(db)
        return db

    def beginning(self, lane: Lane) -> str:
        """What begins a transaction."""
        local = self._settings(lane) if self._pooled else {}
        return "; ".join(["BEGIN", *(f"SET LOCAL {name} = '{value}'" for name, value in local.items())])

    async def refuse_pooler(self, db: Any) -> None:
        """Find a pooler that nobody told of, behind which our settings would be lost: it invents numbers of sessions.

        Raises:
            Misconfigured: there is one.
        """
        if not self._pooled and await db.fetchval("SELECT pg_backend_pid()") != db.get_server_pid():
            raise unexpected_pooler("the session is not the one that was opened")

    def _settings(self, lane: Lane) -> dict[str, str]:
        # jit costs half a second for one claim; the schema keeps our names apart from the neighbors'.
        return {
            "jit": "off",
            "search_path": self._schema,
            "client_connection_check_interval": f"{GONE_AFTER_MS}ms",
            "idle_in_transaction_session_timeout": f"{FROZEN_AFTER_MS}ms",
            **(FORCED_PLANS if lane in (Lane.CLAIM, Lane.SETTLE) else {}),
        }


async def _learn_types(db: Any) -> None:
    """asyncpg looks a type up when it first meets it, which takes longer than most units, so all are met before any. It changes
    a setting of the session for that; a transaction that is rolled back leaves no trace of it.
    """
    try:
        await db.execute("BEGIN")
        await db.fetch(_MEET_TYPES)
        await db.execute("ROLLBACK")
    except BaseException:
        db.terminate()
        raise


def unexpected_pooler(said: str) -> Misconfigured:
    """What to tell the operator whose address is that of a pooler."""
    problem = Problem(
        f"a connection pooler stands before PostgreSQL: {said}",
        "/store/postgres/pgbouncer",
        suggestion="set store.postgres.pgbouncer to true, or give the address of PostgreSQL itself",
    )
    return Misconfigured("the store cannot be reached like that", [problem])
