"""
The one contract: everything a person or a program may ask of etlplus, as typed facets.

The service in process and the client over HTTP have the same facets with the same methods, so that a route, a command and
a client call are all named ``facet.method``. Each method needs the permission its docstring names and raises the kinds of
``etlplus.errors``: Forbidden without the permission, Invalid for what cannot be accepted, NotFound, Conflict, Unavailable.
"""

from __future__ import annotations

from typing import Protocol

from etlplus.jobs.receipts import Once
from etlplus.service.contract.definitions import Jobs, Schedules
from etlplus.service.contract.house import Events, Feed, Identity, Receipts, System
from etlplus.service.contract.letters import DeadLetters
from etlplus.service.contract.running import Runs
from etlplus.service.contract.waiting import Limits, Queues
from etlplus.service.permissions import Principal

__all__ = [
    "Contract",
    "DeadLetters",
    "Events",
    "Feed",
    "Identity",
    "Jobs",
    "Limits",
    "Queues",
    "Receipts",
    "Runs",
    "Schedules",
    "System",
]


class Contract(Protocol):
    """All facets, for one principal."""

    @property
    def jobs(self) -> Jobs: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def letters(self) -> DeadLetters: ...
    @property
    def queues(self) -> Queues: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def schedules(self) -> Schedules: ...
    @property
    def identity(self) -> Identity: ...
    @property
    def system(self) -> System: ...
    @property
    def events(self) -> Events: ...

    @property
    def receipts(self) -> Receipts: ...

    def acting_as(self, who: Principal) -> Contract:
        """The same service, as somebody else."""
        ...

    def once(self, request: Once) -> Contract:
        """The same service, for the deed of one request that takes effect once: what writes raises Conflict (``already_done``)
        if it was done before. (in process only)
        """
        ...
