"""
What people and programs may ask about where runs wait, and how many are carried at once.
"""

from __future__ import annotations

from typing import Protocol

from etlplus.jobs.queues import Limit, LimitDraft, Queue, QueueCounts, QueueDraft
from etlplus.service.views import Page


class Queues(Protocol):
    """Waiting lines."""

    async def list(self) -> Page[QueueCounts]:
        """Every queue by name, with how much waits in it. (queues:read)"""
        ...

    async def get(self, queue: str) -> QueueCounts:
        """One queue. (queues:read)"""
        ...

    async def save(self, draft: QueueDraft) -> Queue:
        """Make a queue, open, or change what the queue of that name allows. (queues:write)"""
        ...

    async def delete(self, queue: str) -> None:
        """Forget a queue; Conflict while runs or jobs are in it, and always for the default one. (queues:write)"""
        ...

    async def pause(self, queue: str) -> Queue:
        """Give out no more runs; new ones come in and wait. Survives a restart. (queues:pause)"""
        ...

    async def resume(self, queue: str) -> Queue:
        """Give out runs again, and accept new ones. (queues:pause)"""
        ...

    async def drain(self, queue: str) -> Queue:
        """Accept no more runs, and carry those that are there. (queues:pause)"""
        ...


class Limits(Protocol):
    """How many runs may be carried at once, and begun in a while, by whatever they have in common."""

    async def list(self) -> Page[Limit]:
        """Every limit by name. (queues:read)"""
        ...

    async def save(self, draft: LimitDraft) -> Limit:
        """Make a limit, or change how many slots each of its keys has, and at what rate its runs begin. (queues:write)"""
        ...

    async def delete(self, limit: str) -> None:
        """Forget a limit; Conflict while unfinished runs or jobs use it. (queues:write)"""
        ...
