"""
etlplus: a self-hosted ETL service, and the actor runtime it stands on, for programs on Trio.

Whatever a program needs that embeds the service or speaks to a daemon is found here by its name; beside it only
``etlplus.settings``, with the sections of the settings, and ``etlplus.runtime`` are meant for others. Importing this package loads
nothing else: ``import etlplus.runtime`` must stay as small as the runtime itself. The names below are looked up when they are first
used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etlplus.app import open_service
    from etlplus.client import Client, connect
    from etlplus.engines.functions import GiveUp, RetryLater, RunContext, job
    from etlplus.errors import (
        Conflict,
        EtlplusError,
        Forbidden,
        Invalid,
        Misconfigured,
        NotFound,
        Problem,
        Stale,
        StoreUnavailable,
        TooMany,
        Unauthenticated,
        Unavailable,
    )
    from etlplus.jobs.backfill import BackfillPlan, DataInterval, plan_backfill
    from etlplus.jobs.exclusions import DateRange, Exclusions
    from etlplus.jobs.kinds import Command
    from etlplus.jobs.model import ErrorRule, JobDraft, RetryPolicy, RunState, Uniqueness
    from etlplus.jobs.occurrences import preview
    from etlplus.jobs.queues import LimitDraft, LimitUse, QueueDraft
    from etlplus.jobs.rates import Rate
    from etlplus.jobs.schedule import decide
    from etlplus.jobs.schedules import CalendarSchedule, CronSchedule, IntervalSchedule, OnceSchedule
    from etlplus.jobs.views import RunView
    from etlplus.service.choosing import Letters, UnfinishedRuns
    from etlplus.service.local import Service
    from etlplus.service.wishes import RunWish
    from etlplus.settings import Settings, load_settings

__version__ = "0.1.0"

__all__ = [
    "BackfillPlan",
    "CalendarSchedule",
    "Client",
    "Command",
    "Conflict",
    "CronSchedule",
    "DataInterval",
    "DateRange",
    "ErrorRule",
    "EtlplusError",
    "Exclusions",
    "Forbidden",
    "GiveUp",
    "IntervalSchedule",
    "Invalid",
    "JobDraft",
    "Letters",
    "LimitDraft",
    "LimitUse",
    "Misconfigured",
    "NotFound",
    "OnceSchedule",
    "Problem",
    "QueueDraft",
    "Rate",
    "RetryLater",
    "RetryPolicy",
    "RunContext",
    "RunState",
    "RunView",
    "RunWish",
    "Service",
    "Settings",
    "Stale",
    "StoreUnavailable",
    "TooMany",
    "Unauthenticated",
    "Unavailable",
    "UnfinishedRuns",
    "Uniqueness",
    "__version__",
    "connect",
    "decide",
    "job",
    "load_settings",
    "open_service",
    "plan_backfill",
    "preview",
]

_ROOMS = {
    "etlplus.app": ("open_service",),
    "etlplus.client": ("Client", "connect"),
    "etlplus.engines.functions": ("GiveUp", "RetryLater", "RunContext", "job"),
    "etlplus.errors": (
        "Conflict",
        "EtlplusError",
        "Forbidden",
        "Invalid",
        "Misconfigured",
        "NotFound",
        "Problem",
        "Stale",
        "StoreUnavailable",
        "TooMany",
        "Unauthenticated",
        "Unavailable",
    ),
    "etlplus.jobs.backfill": ("BackfillPlan", "DataInterval", "plan_backfill"),
    "etlplus.jobs.exclusions": ("DateRange", "Exclusions"),
    "etlplus.jobs.kinds": ("Command",),
    "etlplus.jobs.model": ("ErrorRule", "JobDraft", "RetryPolicy", "RunState", "Uniqueness"),
    "etlplus.jobs.occurrences": ("preview",),
    "etlplus.jobs.queues": ("LimitDraft", "LimitUse", "QueueDraft"),
    "etlplus.jobs.rates": ("Rate",),
    "etlplus.jobs.schedule": ("decide",),
    "etlplus.jobs.schedules": ("CalendarSchedule", "CronSchedule", "IntervalSchedule", "OnceSchedule"),
    "etlplus.jobs.views": ("RunView",),
    "etlplus.service.choosing": ("Letters", "UnfinishedRuns"),
    "etlplus.service.local": ("Service",),
    "etlplus.service.wishes": ("RunWish",),
    "etlplus.settings": ("Settings", "load_settings"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> object:
    """Fetch a public name from its room on first use (PEP 562)."""
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'etlplus' has no attribute {name!r}; it offers {', '.join(__all__)}")
    found: object = getattr(import_module(room), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
