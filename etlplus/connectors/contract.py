"""
What a load may expect of a place that it writes to, and of a place that fails it.

A destination remembers who committed last: a token beside the data, changed with the data. A commit is a compare-and-swap
on that token, so that a late attempt can neither double nor undo what another attempt has done. For the engine's child.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from etlplus.jobs.outcome import Figures, RunError

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS = 8192
REMEMBERED = 100  # proofs kept for each job and sink: how many runs back a retry still finds its own commit


class ConnectorFailed(Exception):
    """A source or destination refused; ``error`` says why and whether another attempt may help."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.error = RunError(code, message, retryable=retryable)


class Claim(msgspec.Struct, frozen=True):
    """On whose behalf a destination is written: the key of its token, and the attempt that writes."""

    job_id: str
    sink: str
    run_id: str
    attempt: int
    plan_id: str


class Token(msgspec.Struct, frozen=True):
    """Proof of one commit. ``serial`` grows by one with every commit of the destination; ``rows`` were committed."""

    serial: int
    job_id: str
    sink: str
    run_id: str
    attempt: int
    plan_id: str
    rows: int
    figures: Figures


class Destination(Protocol):
    """One sink in the hands of one attempt. Every method raises ConnectorFailed and leaves the committed data whole."""

    kind: str
    guarantee: str
    mode: str
    target: str

    def begin(self) -> Token | None:
        """Remember the token this attempt starts from. Returns the run's own token if the run is committed already."""
        ...

    def stage(self, con: duckdb.DuckDBPyConnection, relation: str, tick: Callable[[int], None]) -> int:
        """Write the relation's rows where nobody sees them, and say how many. ``tick`` gets the count of each batch."""
        ...

    def commit(self, figures: Figures) -> Token:
        """Make the staged rows visible at once, or not at all. Returns the token that now stands for this run, which is
        another attempt's if that one was faster. Raises ConnectorFailed (stale) if another run came between.
        """
        ...

    def abandon(self) -> None:
        """Remove what was staged. Never fails."""
        ...


def next_token(base: Token | None, claim: Claim, rows: int, figures: Figures) -> Token:
    """The token with which ``claim`` follows ``base``."""
    serial = base.serial + 1 if base else 1
    return Token(serial, claim.job_id, claim.sink, claim.run_id, claim.attempt, claim.plan_id, rows, figures)


def stale(target: str, base: Token | None, found: Token | None) -> ConnectorFailed:
    """The token is not the one this attempt started from."""
    was, now = (f"run {t.run_id}" if t else "nobody" for t in (base, found))
    return ConnectorFailed("stale", f"{target}: last committed by {now}, but this attempt started after {was}")
