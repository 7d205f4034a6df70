"""
The admin half: what whoever runs the house asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from etlplus.jobs.retention import Keep, Tidied
from etlplus.store.contract.records import (
    Horizon,
    Statistics,
)
from etlplus.store.pooling import LaneFigures


class AdminStore(Protocol):
    """What whoever runs the house asks."""

    async def ping(self) -> None:
        """Return once the store has answered; this is the health check."""
        ...

    async def tend(self) -> None:
        """Look after connections that nobody uses: those too old or too many are closed, those silent for long are asked
        whether they still work, missing ones are opened. An embedded store has none.
        """
        ...

    async def distrust(self) -> None:
        """The store did not answer: whatever connections nobody uses are dropped, since they may lead nowhere."""
        ...

    def lanes(self) -> Mapping[str, LaneFigures]:
        """The connections of each lane, by its name; an embedded store has none."""
        ...

    async def statistics(self) -> Statistics: ...

    async def horizon(self) -> Horizon:
        """Whether somebody keeps dead rows from being removed. SQLite has none: it answers that all is well."""
        ...

    async def tidy(self, keep: Keep, *, now: datetime, limit: int = 1000) -> Tidied:
        """Remove history that is too old or too much, oldest first, and make room for what comes.

        Lines of the tick ledger go by their age and their number, receipts by their age, versions of jobs once no run needs
        them, up to ``limit`` of each a call. SQLite removes up to ``limit`` runs a call.
        PostgreSQL drops whole weeks, never the present one, and none in which there is an unfinished run or an open dead
        letter; its size is that of the history, SQLite's that of everything.
        Any number of nodes may tidy at once.
        """
        ...

    async def migrate(self) -> int:
        """Bring the schema to this version of the program, and try again to read jobs that the last one could not (done when
        opening, too). Returns the schema version.

        Raises:
            Misconfigured: the schema is newer than this program (code ``schema_newer``).
        """
        ...
