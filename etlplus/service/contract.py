"""
The one contract: everything a person or a program may ask of etlplus, as typed facets.

The service in process and the client over HTTP have the same facets with the same methods, so that a route, a command and
a client call are all named ``facet.method``. Each method needs the permission its docstring names and raises the kinds of
``etlplus.errors``: Forbidden without the permission, Invalid for what cannot be accepted, NotFound, Conflict, Unavailable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from etlplus.errors import Problem
from etlplus.jobs.model import JobDraft
from etlplus.jobs.views import RunView
from etlplus.service.permissions import Principal
from etlplus.service.views import (
    Grant,
    HealthView,
    JobView,
    Page,
    Reject,
    RunDetail,
    StatusView,
    UserView,
)


class Jobs(Protocol):
    """Definitions of jobs."""

    async def create(self, draft: JobDraft) -> JobView:
        """Store a new job; the whole definition is checked first. (jobs:write)"""
        ...

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[JobView]:
        """Jobs by name. (jobs:read)"""
        ...

    async def get(self, job: str) -> JobView:
        """One job, by id or by name. (jobs:read)"""
        ...

    async def replace(self, job: str, draft: JobDraft, *, expected_version: int) -> JobView:
        """Change a definition; Conflict when somebody else changed it since ``expected_version``. (jobs:write)"""
        ...

    async def delete(self, job: str, *, expected_version: int) -> None:
        """Forget a job; its finished runs stay. Conflict while runs are unfinished. (jobs:write)"""
        ...

    async def check(self, draft: JobDraft) -> list[Problem]:
        """Everything that is wrong with a definition; nothing is stored. (jobs:read)"""
        ...


class Runs(Protocol):
    """Executions of jobs."""

    async def start(self, job: str, params: dict[str, Any] | None = None, *, key: str | None = None) -> RunView:
        """Ask for a run now. With ``key``, asking again gives the same run instead of another. (runs:start)"""
        ...

    async def list(
        self, *, job: str | None = None, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[RunView]:
        """Runs, newest first. (runs:read)"""
        ...

    async def get(self, run: str) -> RunView:
        """One run as it stands. (runs:read)"""
        ...

    async def detail(self, run: str) -> RunDetail:
        """One run with its attempts and transitions. (runs:read)"""
        ...

    async def cancel(self, run: str) -> RunView:
        """Stop a run: at once when it waits, by its worker when it runs. Conflict when it has finished. (runs:cancel)"""
        ...

    async def rejects(self, run: str, *, limit: int = 50, cursor: str | None = None) -> Page[Reject]:
        """The rows this run refused, with raw bytes and reasons, once the attempt has committed. (quarantine:read)"""
        ...


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

    def metrics(self) -> bytes:
        """All metrics in the Prometheus text format. (metrics:read; in process only)"""
        ...


class Feed(Protocol):
    """A watcher's end: a snapshot, then every later event as it happens, already encoded as JSON bytes.

    Each event carries its position and, for runs, the run's version: drop an event whose version is not larger than the one
    you hold. A watcher that falls ``capacity`` events behind is let go: iteration ends and ``lagged`` is True.
    """

    @property
    def node(self) -> str: ...
    @property
    def epoch(self) -> str: ...
    @property
    def position(self) -> int: ...
    @property
    def snapshot(self) -> list[RunView]: ...
    @property
    def lagged(self) -> bool: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Events(Protocol):
    """News as it happens."""

    def watch(self, topics: tuple[str, ...] = ("runs",), *, capacity: int = 256) -> AbstractAsyncContextManager[Feed]:
        """Follow topics: ``runs`` (all), ``run:ID`` (one) or ``log:ID`` (what its attempts write). (runs:read)"""
        ...


class Contract(Protocol):
    """All facets, for one principal."""

    @property
    def jobs(self) -> Jobs: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def identity(self) -> Identity: ...
    @property
    def system(self) -> System: ...
    @property
    def events(self) -> Events: ...

    def acting_as(self, who: Principal) -> Contract:
        """The same service, as somebody else."""
        ...
