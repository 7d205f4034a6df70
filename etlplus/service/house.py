"""
What every facet works with: the store, the staff's addresses, the engine, and who this daemon is.

Made once by whoever opens the service; facets only read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import prometheus_client

from etlplus.actors.bellman import Earshot
from etlplus.actors.messages import Broadcasting, Dispatching, PoolKeeping
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.engines.workshop import Workshop
from etlplus.jobs.model import User
from etlplus.runtime import Ref, TreeSnapshot
from etlplus.service.bootstrap import Bootstrap
from etlplus.service.passwords import Passwords
from etlplus.service.tokens import TokenService
from etlplus.store.contract import Store


@dataclass(slots=True)
class Ports:
    """Where the listeners are, once they are there."""

    rest: int | None = None
    monitoring: int | None = None


@dataclass(frozen=True, slots=True)
class House:
    """See the module. ``epoch`` names this daemon's life: positions of news count within it. ``seen`` are users as they were
    when the store last told of them, by id.
    """

    store: Store
    workshop: Workshop
    standing: Standing
    newsroom: Newsroom
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

    @property
    def now(self) -> Callable[[], datetime]:
        return self.standing.now
