"""
What people and programs may ask about themselves, about the service, and about what happens in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from etlplus.actors.news import Snapshot
from etlplus.jobs.receipts import Answer, Once, Receipt
from etlplus.service.permissions import Principal
from etlplus.service.views import Grant, HealthView, StatusView, UserView


class Identity(Protocol):
    """Who is who."""

    async def bootstrap(self, token: str, name: str, password: str) -> UserView:
        """Make the first admin with the one-time token that the daemon printed. Works while there is no user. (open)"""
        ...

    async def sign_in(self, name: str, password: str) -> Grant:
        """Trade a name and a password for a bearer token. (open)"""
        ...

    async def me(self) -> UserView:
        """Who is asking. (any principal)"""
        ...

    async def sign_out(self) -> None:
        """Make every token of this user stop counting. (any principal)"""
        ...

    async def authenticate(self, token: str) -> Principal:
        """The principal behind a bearer token, or Unauthenticated. (open; in process only)"""
        ...


class System(Protocol):
    """The service itself."""

    async def health(self) -> HealthView:
        """Whether it works; never slow, never needs a credential. (open)"""
        ...

    async def status(self) -> StatusView:
        """What runs, waits and works. (system:read)"""
        ...

    async def metrics(self) -> bytes:
        """All metrics in the Prometheus text format; those that the store counts, only if it answers soon. (metrics:read; in
        process only)
        """
        ...


class Receipts(Protocol):
    """Requests that take effect once. (in process only)"""

    def request(self, key: str, route: str, fingerprint: str) -> Once:
        """A request of this principal's, made now."""
        ...

    async def find(self, request: Once) -> Receipt | None:
        """What is kept of a request with this key."""
        ...

    async def keep(self, request: Once, answer: Answer) -> None:
        """Keep what a request was answered."""
        ...


class Feed(Protocol):
    """A watcher's end: a snapshot, then every later event as it happens, already encoded as JSON bytes.

    Each event carries its position and, for runs, the run's version: drop an event whose version is not larger than the one
    you hold. Of queues, schedules and workers, whatever comes later is newer. When events were missed before they could be
    told, a ``snapshot`` comes in their place, as at the beginning: it replaces what you hold. A watcher that falls ``capacity``
    events behind is let go: iteration ends and ``lagged`` is True.
    """

    @property
    def node(self) -> str: ...
    @property
    def epoch(self) -> str: ...
    @property
    def position(self) -> int: ...
    @property
    def snapshot(self) -> Snapshot: ...
    @property
    def lagged(self) -> bool: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Events(Protocol):
    """News as it happens."""

    def watch(self, topics: tuple[str, ...] = ("runs",), *, capacity: int = 256) -> AbstractAsyncContextManager[Feed]:
        """Follow topics: ``runs`` (all), ``run:ID`` (one), ``log:ID`` (what its attempts write; also logs:read), ``queues``
        (with the limits; also queues:read), ``schedules`` (also jobs:read) or ``workers`` (also system:read). (runs:read)
        """
        ...
