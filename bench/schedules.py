"""
How fast a nominal time is found: against cronsim, a reader of cron in Python, and an outage of a year against an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from bench.measure import Figures, best_times
from etlplus.jobs import zones
from etlplus.jobs.occurrences import next_occurrence
from etlplus.jobs.schedule import decide
from etlplus.jobs.schedules import CronSchedule

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
ZONE = "Europe/Berlin"
CRONS = {"nightly": "0 2 * * *", "often": "*/5 8-17 * * mon-fri", "leap_day": "0 0 29 2 *"}
CALLS = 200


def measure(figures: Figures) -> None:
    """Ratios of times; the first is microseconds for one nominal time, for orientation."""
    for name, cron in CRONS.items():
        ours, theirs = best_times(timed(lambda cron=cron: ask_ours(cron)), timed(lambda cron=cron: ask_theirs(cron)))
        figures.note(f"next_us_{name}", min(ours) * 1e6)
        figures.ratio(f"cronsim_over_ours_{name}", theirs, ours)
    hour, year = best_times(timed(lambda: outage(timedelta(hours=1))), timed(lambda: outage(timedelta(days=365))))
    figures.ratio("outage_year_over_hour", year, hour)


def timed(ask: Callable[[], object]) -> Callable[[], float]:
    """Seconds for one call, over many."""

    def measured() -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            ask()
        return (time.perf_counter() - start) / CALLS

    return measured


def ask_ours(cron: str) -> object:
    """The next nominal time, as a tick asks for it."""
    return next_occurrence(CronSchedule(cron=cron, zone=ZONE), NOW, NOW)


def ask_theirs(cron: str) -> object:
    """The same, of the yardstick."""
    return next(CronSim(cron, NOW.astimezone(zones.zone(ZONE).info)))


def outage(length: timedelta) -> object:
    """What a tick decides after an outage, at a beat of a second."""
    schedule = CronSchedule(cron="* * * * * *", zone=ZONE)
    return decide(schedule, job_id="job", saved_at=NOW, due_at=NOW - length, now=NOW, unfinished=0)
