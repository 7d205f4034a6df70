"""
The runs facet: executions of jobs, from asking for one to reading what it refused.
"""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import trio

from etlplus.actors.messages import Announce, CancelHere, Wake
from etlplus.errors import Invalid, NotFound, Problem
from etlplus.jobs.model import NewRun, Run, RunState
from etlplus.jobs.views import RunView, run_view
from etlplus.service.facet import Facet, checked_limit
from etlplus.service.views import Page, Reject, RunDetail
from etlplus.store.contract import RunFilter


class RunsFacet(Facet):
    """See ``contract.Runs``."""

    async def start(self, job: str, params: dict[str, Any] | None = None, *, key: str | None = None) -> RunView:
        self.who.must("runs:start")
        found = await self.find_job(job)
        wish = NewRun(job_id=found.id, params=params or {}, unique_key=key)
        (run,) = await self.house.store.enqueue([wish], now=self.house.now())
        self.house.broadcaster.tell(Announce((run,)))
        self.house.dispatcher.tell(Wake())
        return self._view(run)

    async def list(
        self, *, job: str | None = None, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[RunView]:
        self.who.must("runs:read")
        which = RunFilter(
            states=(_state_named(state),) if state is not None else (),
            job_id=(await self.find_job(job)).id if job is not None else None,
        )
        found = await self.house.store.runs(which, limit=checked_limit(limit) + 1, after=_run_id(cursor))
        more = len(found) > limit
        return Page([self._view(run) for run in found[:limit]], found[limit - 1].id if more else None)

    async def get(self, run: str) -> RunView:
        self.who.must("runs:read")
        return self._view(await self.house.store.run(run))

    async def detail(self, run: str) -> RunDetail:
        self.who.must("runs:read")
        found = await self.house.store.run(run)
        return RunDetail(
            run=self._view(found),
            attempts=await self.house.store.attempts(run),
            events=await self.house.store.events(run),
        )

    async def cancel(self, run: str) -> RunView:
        self.who.must("runs:cancel")
        found = await self.house.store.cancel(run, now=self.house.now())
        self.house.broadcaster.tell(Announce((found,)))
        self.house.dispatcher.tell(CancelHere((found.id,)))
        return self._view(found)

    async def rejects(self, run: str, *, limit: int = 50, cursor: str | None = None) -> Page[Reject]:
        """The cursor is the byte offset of the next reject in the attempt's file."""
        self.who.must("quarantine:read")
        found = await self.house.store.run(run)
        file = found.figures.rejects_file if found.figures else ""
        if found.state is not RunState.SUCCEEDED or not file:
            return Page([])
        return await trio.to_thread.run_sync(_read_rejects, Path(file), _offset(cursor), checked_limit(limit))

    def _view(self, run: Run) -> RunView:
        return run_view(run, self.house.newsroom.progress.get(run.id))


def _state_named(state: str) -> RunState:
    try:
        return RunState(state)
    except ValueError:
        accepted = ", ".join(RunState)
        raise Invalid(
            "there is no such state", [Problem(f"state is {state!r}", "/state", suggestion=accepted)]
        ) from None


def _run_id(cursor: str | None) -> str | None:
    try:
        return None if cursor is None else str(UUID(cursor))
    except ValueError:
        raise Invalid("the cursor is none of ours", [Problem(f"cursor is {cursor!r}", "/cursor")]) from None


def _offset(cursor: str | None) -> int:
    if cursor is None or (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        return int(cursor or 0)
    raise Invalid("the cursor is none of ours", [Problem(f"cursor is {cursor!r}", "/cursor")])


def _read_rejects(file: Path, offset: int, limit: int) -> Page[Reject]:
    """One page of a rejects file (one JSON object a line), from a byte offset on."""
    decode = msgspec.json.Decoder(Reject).decode
    items: builtins.list[Reject] = []
    try:
        with file.open("rb") as lines:
            lines.seek(offset)
            while len(items) < limit and (line := lines.readline()):
                items.append(decode(line))
            return Page(items, str(lines.tell()) if lines.peek(1) else None)
    except FileNotFoundError:
        raise NotFound("the rejects of this run are not kept on this node any more") from None
