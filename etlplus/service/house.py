"""
What every facet works with: the store, the staff's addresses, the engine, and who this daemon is.

Made once by whoever opens the service; facets only read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import prometheus_client

from etlplus.actors.bellman import Earshot
from etlplus.actors.boards import Board
from etlplus.actors.messages import Broadcasting, Dispatching, PoolKeeping
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.engines.workshop import Workshop
from etlplus.jobs.model import Job
from etlplus.jobs.recent import Recent
from etlplus.jobs.users import User
from etlplus.runtime import Ref, TreeSnapshot
from etlplus.service.bootstrap import Bootstrap
from etlplus.service.passwords import Passwords
from etlplus.service.tokens import TokenService
from etlplus.store.contract import Store

KNOWN_MAX = 1000


@dataclass(slots=True)
class Ports:
    """Where the listeners are, once they are there."""

    rest: int | None = None
    monitoring: int | None = None


@dataclass(frozen=True, slots=True)
class House:
    """See the module. ``epoch`` names this daemon's life: positions of news count within it. ``seen`` are users as they were
    when the store last told of them, by id; ``known_jobs`` are jobs as they were when somebody last asked for a run, by what
    they were called then.
    """

    store: Store
    workshop: Workshop
    standing: Standing
    newsroom: Newsroom
    boards: Sequence[Board]
    earshot: Earshot
    broadcaster: Ref[Broadcasting]
    dispatcher: Ref[Dispatching]
    pool: Ref[PoolKeeping]
    tree: Callable[[], TreeSnapshot]
    tokens: TokenService
    passwords: Passwords
    bootstrap: Bootstrap
    registry: prometheus_client.CollectorRegistry
    data_dir: Path
    node: str
    epoch: str
    version: str
    started_at: datetime
    ports: Ports = field(default_factory=Ports)
    seen: dict[str, User] = field(default_factory=dict[str, User])
    known_jobs: Recent[Job] = field(default_factory=lambda: Recent[Job](KNOWN_MAX))

    @property
    def now(self) -> Callable[[], datetime]:
        return self.standing.now
