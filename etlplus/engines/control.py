"""
What the load asks of the child process it runs in, and the two ways in which it ends badly.

The child's main implements ``Control``; the load in ``etlplus.engines.load`` is its only caller. It stands apart from the
load so that the child's main can be imported without duckdb.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from etlplus.jobs.outcome import Progress, RunError


class Interrupted(Exception):
    """The attempt must end now: cancelled, orphaned, or past its lease. Nothing more may be committed."""


class LoadFailed(Exception):
    """The attempt failed; ``error`` says why and whether another attempt may help."""

    def __init__(self, error: RunError) -> None:
        super().__init__(error.message)
        self.error = error


class Control(Protocol):
    """The load's only way to the outside. Every method is called from the load's own thread."""

    def report(self, progress: Progress) -> None:
        """Tell how far the load is. Cheap; the load calls it about five times a second."""
        ...

    def freeze(self, bounds: dict[str, Any]) -> None:
        """Store the source bounds of this run. Called once, before reading; returns when they are stored."""
        ...

    def check(self) -> None:
        """Raise Interrupted if the attempt may not go on. Called between batches and right before every commit."""
        ...

    def on_interrupt(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called, from another thread, when the attempt must end while the load is busy."""
        ...

    def fault(self, point: str) -> None:
        """A numbered point at which a crash test may kill or hold the load; does nothing otherwise."""
        ...
