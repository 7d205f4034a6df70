"""
The scribe: writes what attempts log to the store, a few times a second, many lines at once.
"""

from __future__ import annotations

import structlog

from etlplus.actors.messages import Scribing, WriteLogs, Written
from etlplus.actors.standing import Standing
from etlplus.errors import Unavailable
from etlplus.runtime import Actor, Exit

log = structlog.get_logger()

EVERY_S = 0.2
RETRY_AFTER_S = 1.0


class Scribe(Actor[Scribing]):
    """See the module. What waits to be written lies with the worker's standing, and outlives a crash of this actor."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._under_way = False

    async def started(self) -> None:
        self._write_soon()

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        """Attempts have ended and written their own rest by now; what is left belongs to those that were cut."""
        await self._write()

    @WriteLogs.handler
    def write_logs(self, message: WriteLogs) -> None:
        self._write_soon()

    @Written.handler
    def written(self, message: Written) -> None:
        self._under_way = False
        if message.error:
            log.warning("logs_wait", attempts=len(self._standing.unwritten), error=message.error)
        if self._standing.unwritten:
            self.ctx.after(RETRY_AFTER_S if message.error else EVERY_S, WriteLogs(), key="write")

    def _write_soon(self) -> None:
        if not self._under_way and self._standing.unwritten:
            self._under_way = True
            self.ctx.pipe(self._write(), Written, lambda error: Written(str(error)))

    async def _write(self) -> str:
        """Write everything; answers what went wrong, or nothing."""
        for reports in list(self._standing.unwritten.values()):
            try:
                await reports.write()
            except Unavailable as error:
                return str(error)
        return ""
