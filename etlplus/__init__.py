"""
etlplus: a self-hosted ETL service, and the actor runtime it stands on, for programs on Trio.

Importing this package loads nothing else: ``import etlplus.runtime`` must stay as small as the runtime itself. The
names below are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etlplus.app import open_service
    from etlplus.engines.functions import GiveUp, RetryLater, RunContext, job
    from etlplus.jobs.model import JobDraft, RetryPolicy
    from etlplus.settings import Settings, load_settings

__version__ = "0.1.0"

__all__ = [
    "GiveUp",
    "JobDraft",
    "RetryLater",
    "RetryPolicy",
    "RunContext",
    "Settings",
    "__version__",
    "job",
    "load_settings",
    "open_service",
]

_ROOM_OF = {
    "GiveUp": "etlplus.engines.functions",
    "RetryLater": "etlplus.engines.functions",
    "RunContext": "etlplus.engines.functions",
    "job": "etlplus.engines.functions",
    "JobDraft": "etlplus.jobs.model",
    "RetryPolicy": "etlplus.jobs.model",
    "open_service": "etlplus.app",
    "Settings": "etlplus.settings",
    "load_settings": "etlplus.settings",
}


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
