"""
Granting wishes for runs: which become new runs, which are answered with one that is there. Both bodies ask this, and then
write what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from etlplus.errors import Conflict, Problem
from etlplus.jobs import transitions
from etlplus.jobs.model import Job, NewRun, Run
from etlplus.jobs.queues import limit_key
from etlplus.jobs.unique import Verdict, verdict
from etlplus.store.kept import Entry, Kept, entry


class Batch:
    """The wishes of one call.

    Args:
        jobs: The jobs that are wished for, by id.
        holders: Who has the unique keys: a line of an unfinished run, or a finished run.
    """

    def __init__(
        self, jobs: Mapping[str, Job], holders: Mapping[str, Run | Kept], new_id: Callable[[], str], now: datetime
    ) -> None:
        self._jobs = jobs
        self._new_id = new_id
        self._now = now
        self._lines = {holder.run.id: holder for holder in holders.values() if isinstance(holder, Kept)}
        self._holders = {key: _present(holder).id for key, holder in holders.items()}
        self._made: dict[str, None] = {}
        self._replaced: dict[str, Entry] = {}
        self.runs = {run.id: run for run in map(_present, holders.values())}
        """Every run that may be an answer, as it is after the call."""
        self.keys: dict[str, str] = {}
        """The unique keys that have a new holder, and its id."""

    @property
    def made(self) -> list[Run]:
        """The new runs."""
        return [self.runs[run_id] for run_id in self._made]

    @property
    def replaced(self) -> list[Entry]:
        """What to write for runs that took other parameters."""
        return list(self._replaced.values())

    def grant(self, wishes: Sequence[NewRun]) -> list[str]:
        """The ids of the runs that answer these wishes, in order.

        Raises:
            Conflict: a unique key is taken, and its wish wants to be refused then (code ``unique_key_taken``).
        """
        return [self._grant(wish, f"/{at}" if len(wishes) > 1 else "") for at, wish in enumerate(wishes)]

    def _grant(self, wish: NewRun, place: str) -> str:
        holder = self.runs[self._holders[wish.unique_key]] if wish.unique_key in self._holders else None
        match verdict(wish, holder, self._now):
            case Verdict.REJECT if holder is not None:
                taken = f"the unique key {wish.unique_key!r} is taken by run {holder.id}, which is {holder.state}"
                accepted = "another key, or an on_conflict that is not reject"
                problem = Problem(taken, f"{place}/unique_key", "unique_key_taken", suggestion=accepted)
                raise Conflict("the wish is not accepted", [problem], code=problem.code)
            case Verdict.ANSWER if holder is not None:
                return holder.id
            case Verdict.REPLACE if holder is not None:
                return self._replace(holder, wish)
            case _:
                return self._make(wish)

    def _make(self, wish: NewRun) -> str:
        run, _ = transitions.enqueue(wish, self._jobs[wish.job_id], self._new_id(), self._now)
        self.runs[run.id] = run
        self._made[run.id] = None
        if wish.unique_key is not None:
            self._holders[wish.unique_key] = self.keys[wish.unique_key] = run.id
        return run.id

    def _replace(self, holder: Run, wish: NewRun) -> str:
        """One that was made in this very call is simply made otherwise; one that changed in it already is changed once."""
        job = self._jobs[wish.job_id]
        if holder.id in self._made:
            key = limit_key(job.limit, wish.params, job.pipeline)
            self.runs[holder.id] = replace(holder, params=wish.params, interval=wish.interval, limit_key=key)
        else:
            line = self._lines[holder.id]
            change = transitions.replaced(line.present, wish, job, self._now)
            self._replaced[holder.id] = entry(line, change)
            self.runs[holder.id] = change[0]
        return holder.id


def _present(holder: Run | Kept) -> Run:
    return holder.present if isinstance(holder, Kept) else holder
