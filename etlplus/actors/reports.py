"""
What an engine tells about one attempt while it works: how far it is, what it writes, what it found in its sources.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import structlog
import trio

from etlplus.actors.messages import Scribing, WriteLogs
from etlplus.actors.newsroom import Advance, Lines, Newsroom
from etlplus.actors.standing import Standing
from etlplus.errors import Unavailable
from etlplus.jobs.logs import LogLine, NewLine
from etlplus.jobs.model import Run
from etlplus.jobs.outcome import Progress
from etlplus.runtime import Ref
from etlplus.store.contract import LeaseStore

log = structlog.get_logger()

RETRY_AFTER_S = 0.5
LINES_MAX = 10_000
"""Of one attempt, in memory; while the store is out, or slower than the attempt, older ones give way, and a line tells so."""
BATCH_MAX = 500


class Audience:
    """Whom the reports of all attempts of a worker reach."""

    def __init__(self, store: LeaseStore, standing: Standing, newsroom: Newsroom, scribe: Ref[Scribing]) -> None:
        self.store = store
        self.standing = standing
        self.newsroom = newsroom
        self.scribe = scribe


class AttemptReports:
    """The reports of one attempt; see ``engines.contract.Reports``."""

    def __init__(self, run: Run, audience: Audience) -> None:
        self._run = run
        self._to = audience
        self._lines: deque[tuple[int, NewLine]] = deque(maxlen=LINES_MAX)
        self._said = self._written = 0
        self._writing = trio.Lock()

    def progress(self, progress: Progress) -> None:
        """Tell the watchers."""
        self._to.newsroom.tell(Advance(self._run.id, self._run.version, self._run.attempt, progress))

    def log(self, text: str, level: str = "info") -> None:
        """Keep a line; it is written to the store a moment later, with others."""
        self._said += 1
        self._lines.append((self._said, NewLine(self._to.standing.now(), text, level)))
        self._to.standing.unwritten[self._run.id, self._run.attempt] = self
        self._to.scribe.offer(WriteLogs())

    async def freeze(self, bounds: dict[str, Any]) -> None:
        """Keep the sources' bounds; go on asking while the store is out, since the lease bounds the wait."""
        while True:
            try:
                await self._to.store.freeze(self._run.id, self._run.attempt, bounds, now=self._to.standing.now())
            except Unavailable as error:
                log.warning("bounds_wait", run=self._run.id, error=str(error))
                await trio.sleep(RETRY_AFTER_S)
            else:
                return

    async def write(self) -> None:
        """Write to the store what was kept, in order, and tell who follows the log.

        Raises:
            Unavailable: the store did not answer; the lines are kept.
        """
        async with self._writing:
            while self._lines:
                batch = [*islice(self._lines, BATCH_MAX)]
                await self._append([*self._missing(batch[0]), *(line for _, line in batch)])
                self._written = batch[-1][0]
                while self._lines and self._lines[0][0] <= self._written:
                    self._lines.popleft()
            self._to.standing.unwritten.pop((self._run.id, self._run.attempt), None)

    async def end(self) -> None:
        """The attempt has ended: write the rest now, since nothing can be added once its outcome is told."""
        if not self._lines and not self._writing.locked():
            return
        try:
            await self.write()
        except Unavailable as error:
            log.warning("log_not_written", run=self._run.id, lines=len(self._lines), error=str(error))
            self._to.standing.unwritten.pop((self._run.id, self._run.attempt), None)

    def _missing(self, first: tuple[int, NewLine]) -> Iterator[NewLine]:
        """A line in the place of those that gave way before the first that is left."""
        number, line = first
        if lost := number - self._written - 1:
            told = f"({lost:,} lines are missing here: they came faster than they could be kept)"
            yield NewLine(line.at, told, "warning", skipped=lost - 1)

    async def _append(self, batch: list[NewLine]) -> None:
        run, now = self._run, self._to.standing.now()
        state = await self._to.store.append_log(run.id, run.attempt, run.worker_id or "", batch, now=now)
        if state is not None:
            first = state.lines - len(batch) + 1
            told = tuple(
                LogLine(number=number, at=line.at, level=line.level, text=line.text)
                for number, line in enumerate(batch, first)
            )
            self._to.newsroom.tell(Lines(run.id, run.attempt, told))
