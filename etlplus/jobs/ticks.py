"""
The tick ledger: what was decided about each nominal time of a schedule, kept for whoever asks why a run was made or was not.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from etlplus.jobs.passing import Passed
from etlplus.jobs.reasons import Reason
from etlplus.jobs.schedule import Fired

SCHEDULED = "schedule"
"""The cause of runs that a schedule made."""

LATELY = 3
"""So many lines of a schedule's ledger are shown with it: what one tick decided is seldom more."""


class TickOutcome(StrEnum):
    """What came of nominal times: a run, or nothing for one of the causes of ``passing.Passing``."""

    FIRED = "fired"
    """A run was made."""
    COALESCED = "coalesced"
    MISSED = "missed"
    OVERLAP = "overlap"
    DRAINING = "draining"
    PAUSED = "paused"
    GAVE_UP = "gave_up"
    """No nominal time: at this moment the job was paused, because so many of its runs in a row had failed."""


class Tick(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the ledger: a run that was made, or a stretch of nominal times from ``nominal_at`` to ``last_at`` without.

    ``count`` is how many nominal times it is about, exact up to ``passing.COUNT_MAX``; of ``gave_up``, how many runs had
    failed. ``reason`` is why it was due then, ``run_id`` the run that was made or the last that failed. A job has at most one
    line of the same ``nominal_at`` and ``outcome``, so no nominal time ever has two runs.
    """

    job_id: str
    nominal_at: datetime
    outcome: TickOutcome
    last_at: datetime
    count: int = 1
    reason: Reason | None = None
    run_id: str | None = None
    decided_at: datetime


def fired(job_id: str, run_id: str, each: Fired, now: datetime) -> Tick:
    """The line of a run that is made."""
    return Tick(
        job_id=job_id,
        nominal_at=each.nominal_at,
        outcome=TickOutcome.FIRED,
        last_at=each.nominal_at,
        reason=each.reason,
        run_id=run_id,
        decided_at=now,
    )


def passed(job_id: str, each: Passed, now: datetime) -> Tick:
    """The line of a stretch that is passed over."""
    return Tick(
        job_id=job_id,
        nominal_at=each.first_at,
        outcome=TickOutcome(each.cause),
        last_at=each.last_at,
        count=each.count,
        decided_at=now,
    )


def gave_up(job_id: str, run_id: str, failures: int, now: datetime) -> Tick:
    """The line of a pause after so many failures."""
    return Tick(
        job_id=job_id,
        nominal_at=now,
        outcome=TickOutcome.GAVE_UP,
        last_at=now,
        count=failures,
        run_id=run_id,
        decided_at=now,
    )
