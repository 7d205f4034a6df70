"""
Retention: keeps the history within its age and size, and makes room in the store for what comes.

Every node does it; doing it twice changes nothing.
"""

from __future__ import annotations

import structlog

from etlplus.actors.messages import Tidied, Tidy, TidyFailed, Tidying
from etlplus.actors.standing import Standing
from etlplus.jobs.retention import Keep
from etlplus.runtime import Actor
from etlplus.store.contract import AdminStore

log = structlog.get_logger()

EVERY_S = 3600.0
BREATH_S = 0.1
"""Between two rounds while there is more to remove, so that other units of work have their turn."""


class Retention(Actor[Tidying]):
    """See the module. Begins with a first round, since a store may have been away for weeks."""

    def __init__(self, store: AdminStore, standing: Standing, keep: Keep) -> None:
        self._store = store
        self._standing = standing
        self._keep = keep

    async def started(self) -> None:
        self.ctx.after(0, Tidy())

    @Tidy.handler
    def tidy(self, message: Tidy) -> None:
        self.ctx.pipe(self._tidy(), lambda tidied: tidied, lambda error: TidyFailed(str(error)))

    @Tidied.handler
    def tidied(self, message: Tidied) -> None:
        if message.runs_removed or message.weeks_dropped:
            log.info("history_removed", runs=message.runs_removed, weeks=message.weeks_dropped)
        self.ctx.after(BREATH_S if message.more else EVERY_S, Tidy(), key="tidy")

    @TidyFailed.handler
    def failed(self, message: TidyFailed) -> None:
        log.warning("tidy_failed", error=message.error)
        self.ctx.after(EVERY_S, Tidy(), key="tidy")

    async def _tidy(self) -> Tidied:
        done = await self._store.tidy(self._keep, now=self._standing.now())
        return Tidied(done.runs_removed, done.weeks_dropped, done.more)
