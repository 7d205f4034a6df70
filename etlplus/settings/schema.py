"""
Every option of etlplus: its default, its bounds, its unit, and a sentence that says what it is for.

This declaration is the only place where an option exists. It holds no logic but the laws that tie two options together;
reading files and the environment happens beside it, in ``load``.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from etlplus.errors import Problem


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of options. Its representation keeps secrets to itself, so that settings may be logged."""

    def __repr__(self) -> str:
        shown = (f"{name}={'***' if name in SECRETS else repr(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(shown)})"


SECRETS = frozenset({"url", "listen_url", "secret"})
"""Fields whose value is, or may contain, a password: never shown, and also read from a file named by ``…_FILE``."""

Host = Annotated[
    str,
    Meta(
        min_length=1, description="Address to listen on; 0.0.0.0 means every IPv4 address.", extra={"unit": "address"}
    ),
]
Connections = Annotated[
    int,
    Meta(ge=1, le=100_000, description="Open connections at a time; more are turned away.", extra={"unit": "count"}),
]


class Server(Section, frozen=True, kw_only=True):
    """The REST listener."""

    host: Host = "127.0.0.1"
    port: Annotated[
        int,
        Meta(ge=0, le=65535, description="Port of REST; 0 takes a free one. PORT sets it too.", extra={"unit": "port"}),
    ] = 8080
    body_max_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="Largest request body that is read.", extra={"unit": "bytes"})
    ] = 1 << 20
    connections_max: Connections = 1000


class MonitoringSocket(Section, frozen=True, kw_only=True):
    """The WebSocket listener of the live monitoring."""

    host: Host = "127.0.0.1"
    port: Annotated[
        int,
        Meta(ge=0, le=65535, description="Port of the live monitoring; 0 takes a free one.", extra={"unit": "port"}),
    ] = 8081
    connections_max: Connections = 1000
    heartbeat_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="Silence after which a watcher is sent a heartbeat.", extra={"unit": "s"}),
    ] = 15.0


class Monitoring(Section, frozen=True, kw_only=True):
    """How others watch what happens."""

    websocket: MonitoringSocket = field(default_factory=MonitoringSocket)


class Postgres(Section, frozen=True, kw_only=True):
    """Connections to a store on PostgreSQL."""

    connections_min: Annotated[
        int,
        Meta(ge=0, le=1000, description="Ordinary connections that are kept open.", extra={"unit": "count"}),
    ] = 1
    connections_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Ordinary connections at a time; heartbeats, claims and acknowledgements have four of their own.",
            extra={"unit": "count"},
        ),
    ] = 4
    lifetime_s: Annotated[
        float,
        Meta(
            gt=0,
            le=7 * 86_400,
            description="Age at which a connection is replaced when nobody uses it; up to a fifth earlier, by chance.",
            extra={"unit": "s"},
        ),
    ] = 1800.0
    idle_s: Annotated[
        float,
        Meta(
            gt=0,
            le=86_400,
            description="Time without use after which a connection above the minimum is closed.",
            extra={"unit": "s"},
        ),
    ] = 300.0
    check_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="Time without a word after which an idle connection is asked whether it still works.",
            extra={"unit": "s"},
        ),
    ] = 30.0
    acquire_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=300,
            description="Time that a unit of work waits for a free connection before it gives up.",
            extra={"unit": "s"},
        ),
    ] = 10.0
    pgbouncer: Annotated[
        bool,
        Meta(
            description="Whether the address is that of a pooler in transaction mode, such as PgBouncer; then nothing is "
            "kept in a session.",
            extra={"unit": "yes or no", "accepts": "true or false"},
        ),
    ] = False
    listen_url: Annotated[
        str,
        Meta(
            pattern=r"^$(?!\n)|^postgres(ql)?://.+",
            description="Address where to listen for what other nodes do; empty means store.url, and behind a pooler nowhere: "
            "give the address of the PostgreSQL server itself.",
            extra={"unit": "URL", "accepts": "an empty text or postgresql://…"},
        ),
    ] = ""


class Store(Section, frozen=True, kw_only=True):
    """Where jobs, runs and users are kept."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^$(?!\n)|^:memory:$(?!\n)|^sqlite:.+|^postgres(ql)?://.+",
            description="Address of the store; empty means SQLite in data_dir, sqlite::memory: one that is forgotten, and "
            "on PostgreSQL several nodes share the work.",
            extra={"unit": "URL", "accepts": "an empty text, sqlite:FILE, sqlite::memory: or postgresql://…"},
        ),
    ] = ""
    keep_days: Annotated[
        float,
        Meta(
            gt=0,
            le=36_500,
            description="Age at which finished runs are removed with their history.",
            extra={"unit": "days"},
        ),
    ] = 90.0
    keep_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=1 << 50,
            description="Size of the history above which the oldest finished runs are removed; 0 means any size.",
            extra={"unit": "bytes"},
        ),
    ] = 0
    postgres: Postgres = field(default_factory=Postgres)


class Engine(Section, frozen=True, kw_only=True):
    """Where attempts execute."""

    slots: Annotated[
        int,
        Meta(ge=0, le=1024, description="Runs that execute at a time; 0 means one per core.", extra={"unit": "count"}),
    ] = 0
    spares: Annotated[
        bool,
        Meta(
            description="Whether a process waits ready for each slot; without, a load begins a third of a second later, and an "
            "idle worker takes less memory.",
            extra={"unit": "yes or no", "accepts": "true or false"},
        ),
    ] = True
    calls_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Runs that call functions of the embedding program, at a time, beside the slots.",
            extra={"unit": "count"},
        ),
    ] = 500
    labels: Annotated[
        str,
        Meta(
            pattern=r"^([^\s,!][^\s,]*(,[^\s,!][^\s,]*)*)?$(?!\n)",
            description="What this worker is able to do, such as gpu,region=eu; it carries runs that ask for no more.",
            extra={"unit": "names", "accepts": "names without blanks, separated by commas"},
        ),
    ] = ""
    memory_limit_bytes: Annotated[
        int,
        Meta(
            ge=256 << 20,
            le=1 << 44,
            description="Memory of one attempt's process, unless its job says otherwise.",
            extra={"unit": "bytes"},
        ),
    ] = 1 << 30


class Lease(Section, frozen=True, kw_only=True):
    """The timed right of a worker to hold its runs."""

    beat_s: Annotated[
        float, Meta(gt=0, le=600, description="Time between two renewals of the lease.", extra={"unit": "s"})
    ] = 5.0
    expiry_s: Annotated[
        float,
        Meta(gt=0, le=3600, description="Time without renewal after which others take the runs.", extra={"unit": "s"}),
    ] = 20.0


class Shutdown(Section, frozen=True, kw_only=True):
    """How the daemon ends."""

    drain_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Time that runs in hand get to finish after SIGTERM; what remains is returned to its queue.",
            extra={"unit": "s"},
        ),
    ] = 10.0


class Auth(Section, frozen=True, kw_only=True):
    """Who may come in."""

    secret: Annotated[
        str,
        Meta(
            pattern=r"^$(?!\n)|^.{32,}$(?!\n)",
            description="Key that signs bearer tokens; empty means one that is made once and kept in data_dir.",
            extra={"unit": "text", "accepts": "an empty text or at least 32 characters"},
        ),
    ] = ""
    token_ttl_s: Annotated[
        int, Meta(ge=1, le=30 * 86_400, description="Life of a bearer token.", extra={"unit": "s"})
    ] = 3600


class Log(Section, frozen=True, kw_only=True):
    """What the daemon says about itself, on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least important line that is written.", extra={"unit": "name"}),
    ] = "info"
    format: Annotated[
        Literal["auto", "text", "json"],
        Meta(
            description="Form of the lines; auto means text on a terminal and JSON elsewhere.", extra={"unit": "name"}
        ),
    ] = "auto"


class Settings(Section, frozen=True, kw_only=True):
    """All options, each with a value."""

    data_dir: Annotated[
        str,
        Meta(
            min_length=1,
            description="Folder of the embedded store, quarantined rows and keys; one daemon at a time.",
            extra={"unit": "path"},
        ),
    ] = "data"
    server: Server = field(default_factory=Server)
    monitoring: Monitoring = field(default_factory=Monitoring)
    store: Store = field(default_factory=Store)
    engine: Engine = field(default_factory=Engine)
    lease: Lease = field(default_factory=Lease)
    shutdown: Shutdown = field(default_factory=Shutdown)
    auth: Auth = field(default_factory=Auth)
    log: Log = field(default_factory=Log)


def contradictions(settings: Settings) -> list[Problem]:
    """What is wrong between options that are each right alone; ``pointer`` names the one to change."""
    found: list[Problem] = []
    rest, live = settings.server, settings.monitoring.websocket
    if rest.port and (rest.host, rest.port) == (live.host, live.port):
        found.append(
            Problem(
                f"monitoring.websocket.port is {live.port}, which REST already has",
                pointer="/monitoring/websocket/port",
                suggestion="choose another port, or 0 for a free one",
            )
        )
    if settings.lease.expiry_s < 3 * settings.lease.beat_s:
        found.append(
            Problem(
                f"lease.expiry_s is {settings.lease.expiry_s:g} s, too short for a beat of {settings.lease.beat_s:g} s",
                pointer="/lease/expiry_s",
                suggestion=f"at least three beats, {3 * settings.lease.beat_s:g} s, so that one lost beat costs no run",
            )
        )
    most, least = settings.store.postgres.connections_max, settings.store.postgres.connections_min
    if least > most:
        found.append(
            Problem(
                f"store.postgres.connections_min is {least}, more than the {most} of store.postgres.connections_max",
                pointer="/store/postgres/connections_min",
                suggestion=f"at most {most}, or a larger store.postgres.connections_max",
            )
        )
    return found
