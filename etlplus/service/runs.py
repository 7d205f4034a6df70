"""
The runs facet: executions of jobs, from asking for one to reading what it wrote and refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

import trio

from etlplus.errors import Conflict, Invalid, NotFound, Problem
from etlplus.jobs.model import Job, NewRun, Run, RunState, Uniqueness
from etlplus.jobs.refusal import TOLD_MAX
from etlplus.jobs.views import RunView, run_view
from etlplus.service.cancelling import AT_ONCE_MAX, cancelled, counted, meant
from etlplus.service.checking import checked, checked_limit
from etlplus.service.choosing import UnfinishedRuns
from etlplus.service.facet import Facet
from etlplus.service.rejects import offset_of, place_of, read_rejects
from etlplus.service.views import LogPage, Page, Reject, RunDetail, RunsCancelled, RunsMade, Why
from etlplus.service.why import why
from etlplus.service.wishes import (
    RunOptions,
    RunWish,
    keys_for,
    moved,
    problems_of,
    problems_of_key,
    refuse_other,
    to_new_run,
)
from etlplus.store.contract import RunFilter

WISHES_MAX = 10_000
LINES_MAX = 1000
SEARCH_CHARS_MAX = 200


class RunsFacet(Facet):
    """See ``contract.Runs``."""

    async def start(
        self,
        job: str,
        params: dict[str, Any] | None = None,
        *,
        run_at: datetime | None = None,
        priority: int | None = None,
        interval: tuple[datetime, datetime] | None = None,
        key: str | None = None,
        unique: Uniqueness | None = None,
        idempotency_key: str | None = None,
    ) -> RunView:
        self.who.must("runs:start")
        wish = checked(
            RunOptions(
                params=params if params is not None else {},
                run_at=run_at,
                priority=priority,
                interval=interval,
                unique_key=key,
                unique=unique if unique is not None else Uniqueness(),
            ),
            RunOptions,
        )
        _refuse([*problems_of_key(idempotency_key), *problems_of(wish, "", idempotency_key)])
        (own,) = keys_for([wish], idempotency_key, self.who.id)
        run = await self._start_known(job, wish, own)
        if run is None:
            found = self.house.known_jobs.put(job, await self.find_job(job))
            run = await self._start(found, wish, own)
        self.announce([run])
        return self._view(run)

    async def start_many(self, wishes: Sequence[RunWish], *, idempotency_key: str | None = None) -> RunsMade:
        self.who.must("runs:start")
        if not 1 <= len(wishes) <= WISHES_MAX:
            accepted = f"1 to {WISHES_MAX:,}"
            raise Invalid("not so many at once", [Problem(f"{len(wishes):,} runs", "/runs", suggestion=accepted)])
        _refuse(problems_of_key(idempotency_key))
        wanted, now = await self._wanted(wishes, idempotency_key), self.house.now()
        try:
            runs = await self.house.store.enqueue(wanted, now=now)
        except (Invalid, Conflict) as error:
            raise moved(error, "/runs" if len(wishes) > 1 else "/runs/0") from error
        distinct = {run.id: run for run in runs}
        made = [run for run in distinct.values() if run.created_at == now]
        self.announce([*distinct.values()])
        return RunsMade(run_ids=[run.id for run in runs], made=len(made), existing=len(runs) - len(made))

    async def list(
        self,
        *,
        job: str | None = None,
        queue: str | None = None,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunView]:
        self.who.must("runs:read")
        which = RunFilter(
            states=(_state_named(state),) if state is not None else (),
            job_id=(await self.find_job(job)).id if job is not None else None,
            queue=await self.find_queue(queue) if queue is not None else None,
        )
        found = await self.house.store.runs(which, limit=checked_limit(limit) + 1, after=run_id(cursor))
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

    async def why(self, run: str) -> Why:
        self.who.must("runs:read")
        return why(await self.house.store.explain(run, now=self.house.now()))

    async def cancel(self, run: str) -> RunView:
        self.who.must("runs:cancel")
        changed, *released = await self.house.store.cancel(run, now=self.house.now())
        self.announce([changed, *released])
        return self._view(changed)

    async def cancel_many(
        self, which: UnfinishedRuns, *, dry_run: bool = False, limit: int = AT_ONCE_MAX, cursor: str | None = None
    ) -> RunsCancelled:
        self.who.must("runs:cancel")
        chosen, size, after = await meant(self, which), checked_limit(limit, AT_ONCE_MAX), run_id(cursor)
        if dry_run:
            return await counted(self, chosen)
        return await cancelled(self, chosen, self.house.now(), size, after)

    async def log(
        self,
        run: str,
        *,
        attempt: int | None = None,
        search: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> LogPage:
        self.who.must("logs:read")
        after, size = offset_of(cursor), checked_limit(limit, LINES_MAX)
        if search is not None and not 1 <= len(search) <= SEARCH_CHARS_MAX:
            accepted = f"1 to {SEARCH_CHARS_MAX} characters"
            raise Invalid(
                "the search is not accepted", [Problem("its length is wrong", "/search", suggestion=accepted)]
            )
        number = await self._attempt(run, attempt)
        state = await self.house.store.log_state(run, number)
        lines = await self.house.store.log(run, number, after=after, search=search, limit=size + 1)
        more = len(lines) > size
        return LogPage(
            items=lines[:size],
            attempt=number,
            lines=state.lines,
            kept_bytes=state.kept_bytes,
            dropped=state.dropped,
            next_cursor=str(lines[size - 1].number) if more else None,
        )

    async def log_tail(self, run: str, *, attempt: int | None = None, limit: int = 100) -> LogPage:
        self.who.must("logs:read")
        size, number = checked_limit(limit, LINES_MAX), await self._attempt(run, attempt)
        lines = await self.house.store.log_tail(run, number, limit=size)
        state = await self.house.store.log_state(run, number)
        return LogPage(
            items=lines, attempt=number, lines=state.lines, kept_bytes=state.kept_bytes, dropped=state.dropped
        )

    async def rejects(self, run: str, *, limit: int = 50, cursor: str | None = None) -> Page[Reject]:
        """The cursor is the byte offset of the next reject in the attempt's file."""
        self.who.must("quarantine:read")
        found = await self.house.store.run(run)
        file = found.figures.rejects_file if found.figures else ""
        if found.state is not RunState.SUCCEEDED or not file:
            return Page([])
        place = place_of(file, self.house.data_dir)
        return await trio.to_thread.run_sync(read_rejects, place, offset_of(cursor), checked_limit(limit))

    async def _start_known(self, job: str, wish: RunOptions, key: str | None) -> Run | None:
        """A run of the job as it was when it was last asked for, if it is like that still; else None, and nothing was done.
        Then the job as it is now says what is wrong, if anything is.
        """
        known = self.house.known_jobs.get(job)
        try:
            return await self._start(known, wish, key, version=known.version) if known is not None else None
        except (Conflict, Invalid, NotFound):
            return None

    async def _start(self, job: Job, wish: RunOptions, key: str | None, *, version: int | None = None) -> Run:
        _refuse(self.house.workshop.misfits(job, wish.params, "/params"))
        wanted = to_new_run(wish, job, key, job_version=version)
        (run,) = await self.house.store.enqueue([wanted], now=self.house.now())
        if key is not None:
            refuse_other(run, job, wish)
        return run

    async def _wanted(self, wishes: Sequence[RunWish], idempotency_key: str | None) -> Sequence[NewRun]:
        """What the store is asked for, once everything that can be judged before is judged."""
        wishes = [checked(wish, RunWish, f"/runs/{at}") for at, wish in enumerate(wishes)]
        _refuse([p for at, wish in enumerate(wishes) for p in problems_of(wish, f"/runs/{at}", idempotency_key)])
        jobs = await self._jobs_of(wishes)
        misfits = self.house.workshop.misfits
        _refuse(
            [p for at, wish in enumerate(wishes) for p in misfits(jobs[wish.job], wish.params, f"/runs/{at}/params")]
        )
        keys = keys_for(wishes, idempotency_key, self.who.id)
        return [to_new_run(wish, jobs[wish.job], key) for wish, key in zip(wishes, keys, strict=True)]

    async def _jobs_of(self, wishes: Sequence[RunWish]) -> dict[str, Job]:
        """The jobs that these wishes name, by that name."""
        first = {wish.job: at for at, wish in reversed([*enumerate(wishes)])}
        found: dict[str, Job] = {}
        unknown: list[Problem] = []
        for name, at in sorted(first.items(), key=itemgetter(1)):
            try:
                found[name] = await self.find_job(name)
            except NotFound as error:
                unknown.append(Problem(error.message, f"/runs/{at}/job", "unknown_job"))
            if len(unknown) == TOLD_MAX:
                break
        if unknown:
            raise Invalid("the runs cannot be made", unknown, code="unknown_job")
        return found

    async def _attempt(self, run: str, wanted: int | None) -> int:
        """The attempt that is meant: the latest unless one is named."""
        latest = (await self.house.store.run(run)).attempt
        if wanted is not None and not 1 <= wanted <= latest:
            raise NotFound(f"the run has no attempt {wanted}; there were {latest} so far")
        return wanted or latest

    def _view(self, run: Run) -> RunView:
        return run_view(run, self.house.newsroom.progress.get(run.id))


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise Invalid("the wish is not accepted", problems[:TOLD_MAX], code=problems[0].code)


def _state_named(state: str) -> RunState:
    try:
        return RunState(state)
    except ValueError:
        accepted = ", ".join(RunState)
        raise Invalid(
            "there is no such state", [Problem(f"state is {state!r}", "/state", suggestion=accepted)]
        ) from None


def run_id(cursor: str | None) -> str | None:
    """The id of the last run seen. Raises Invalid for a cursor that was never given out."""
    try:
        return None if cursor is None else str(UUID(cursor))
    except ValueError:
        raise Invalid("the cursor is none of ours", [Problem(f"cursor is {cursor!r}", "/cursor")]) from None
