"""
Settings: what the operator may choose, gathered from the defaults, a file, the environment and flags.

The schema declares each option once, with its default, bounds, unit and sentence; the checks, the reference page and
``etlplus config`` all read that declaration. Nothing here opens a store or a socket, and no other room reads the
environment: the fuse box hands each room the values it needs.
"""

from etlplus.settings.load import Gathered, gather, load_settings
from etlplus.settings.schema import (
    Auth,
    Engine,
    Lease,
    Log,
    Monitoring,
    MonitoringSocket,
    Postgres,
    Server,
    Settings,
    Shutdown,
    Store,
)

__all__ = [
    "Auth",
    "Engine",
    "Gathered",
    "Lease",
    "Log",
    "Monitoring",
    "MonitoringSocket",
    "Postgres",
    "Server",
    "Settings",
    "Shutdown",
    "Store",
    "gather",
    "load_settings",
]
