"""
The write half: what people and programs change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from etlplus.jobs.letters import Edit, LetterFilter, Replay
from etlplus.jobs.model import Job, JobDraft, NewRun, Run
from etlplus.jobs.queues import Limit, LimitDraft, Queue, QueueDraft, QueueMode
from etlplus.jobs.receipts import Answer, Once
from etlplus.jobs.users import User, UserDraft
from etlplus.store.contract.records import Swept, Unfinished


class WriteStore(Protocol):
    """What people and programs change."""

    async def keep_answer(self, request: Once, answer: Answer) -> None:
        """Keep what a request was answered. Of several, the first is kept; a request that changed nothing has no receipt
        yet, and gets one.
        """
        ...

    async def save_job(
        self,
        draft: JobDraft,
        *,
        now: datetime,
        job_id: str | None = None,
        expected_version: int | None = None,
        tell: Callable[[Sequence[Run]], None] | None = None,
    ) -> Job:
        """Store a new job, or the next version of ``job_id``.

        Nominal times that have come and that nothing has ticked for are decided by the schedule they belong to, and written
        into the ledger; the runs are made of the new version. If that is paused or has no schedule, they were missed. If runs
        were made or cancelled by this, ``tell`` is called with them.

        Raises:
            Conflict: another job has the name (code ``name_taken``).
            Stale: the job is not at ``expected_version`` any more.
            NotFound: there is no ``job_id``.
            Invalid: it names a queue or a limit that does not exist (codes ``unknown_queue``, ``unknown_limit``), or one of its
                values, or all of it, cannot be kept (as those of a run, below).
        """
        ...

    async def delete_job(self, job_id: str, *, now: datetime, expected_version: int | None = None) -> None:
        """Forget a job; its finished runs stay.

        Raises:
            Conflict: it has unfinished runs (code ``job_in_use``).
            Stale: the job is not at ``expected_version`` any more.
            NotFound: there is no such job.
        """
        ...

    async def enqueue(self, runs: Sequence[NewRun], *, now: datetime) -> list[Run]:
        """Make runs, all or none, answered in order. A wish whose ``unique_key`` is taken is answered with the holder, or
        as its ``unique`` says. Ten thousand in one call are fine; a run whose ``run_at`` is ahead waits as scheduled.

        Raises:
            Conflict: a key is taken and its wish wants to be refused then (code ``unique_key_taken``), or a job is at another
                version than the wish says (code ``stale_version``).
            NotFound: one of the jobs does not exist.
            Invalid: a wish cannot be accepted (codes ``queue_draining``, ``bad_key``, ``limit_key``), or its parameters cannot be
                kept (``too_large``, ``too_deep``, ``bad_text``, ``bad_number``, ``not_json``); each problem points to its wish,
                and the first so many are told. Whatever is raised, nothing was stored.
        """
        ...

    async def cancel(self, run_id: str, *, now: datetime) -> list[Run]:
        """Ask for the end of a run: a waiting one is cancelled at once, a running one is marked ``cancel_requested``.

        Asking a running one twice changes nothing.

        Returns:
            The run as it is now, and after it the one that had waited for it and goes on, if any.

        Raises:
            Conflict: it is finished (code ``run_finished``).
            NotFound: there is no such run.
        """
        ...

    async def cancel_many(
        self, which: Unfinished, *, now: datetime, limit: int = 1000, after: str | None = None
    ) -> Swept:
        """Ask for the end of up to ``limit`` runs, each as ``cancel`` does, the newest first, all in one unit; ``after`` is the
        id of the last one that was looked at before. What ends meanwhile, or leaves the states that are asked for, is passed
        over. Newest first, a run that waits for others is gone before they are, and what is made meanwhile is not reached.
        """
        ...

    async def save_queue(self, draft: QueueDraft, *, now: datetime) -> Queue:
        """Store a new queue, open, or change what the queue of that name allows. With fewer slots than runs in hand, none
        is claimed until enough of them have ended.
        """
        ...

    async def set_queue_mode(self, name: str, mode: QueueMode, *, now: datetime) -> Queue:
        """Open, pause or drain a queue; see ``QueueMode``. Setting the mode that it has changes nothing.

        Raises:
            NotFound: there is no such queue.
        """
        ...

    async def delete_queue(self, name: str, *, now: datetime) -> None:
        """Forget a queue.

        Raises:
            Conflict: it has unfinished runs, a job names it, or it is the default one (code ``queue_in_use``).
            NotFound: there is no such queue.
        """
        ...

    async def save_limit(self, draft: LimitDraft, *, now: datetime) -> Limit:
        """Store a new limit, or change how many slots and tokens each of its keys has. Fewer slots count what is in hand; at
        another rate, each key keeps the tokens that it has.
        """
        ...

    async def delete_limit(self, name: str, *, now: datetime) -> None:
        """Forget a limit.

        Raises:
            Conflict: unfinished runs count against it, or a job names it (code ``limit_in_use``).
            NotFound: there is no such limit.
        """
        ...

    async def replay(
        self, which: LetterFilter, *, now: datetime, edit: Edit | None = None, dry_run: bool = False, limit: int = 1000
    ) -> list[Replay]:
        """Make new runs from dead letters, oldest first; their letters are resolved by it.

        Each is made from its job's present version, in the queue that the job names now, with its own parameters after
        ``edit``. What cannot be replayed is answered with its problems and stays; the others are. With ``dry_run`` nothing
        is stored. A full answer (``limit`` letters) means that there may be more.
        """
        ...

    async def discard(self, which: LetterFilter, *, reason: str, now: datetime, limit: int = 1000) -> list[str]:
        """Resolve dead letters without a replay, and keep the reason; answers with the ids of their runs."""
        ...

    async def save_user(self, draft: UserDraft, *, now: datetime, user_id: str | None = None) -> User:
        """Store a new user, or change ``user_id``; a changed password, role or ``disabled`` raises the epoch.

        Raises:
            Conflict: the name is taken (code ``name_taken``).
            NotFound: there is no ``user_id``.
        """
        ...

    async def claim_bootstrap(self, draft: UserDraft, *, now: datetime) -> User:
        """Store the first user ever. Of any number of callers at once, exactly one succeeds.

        Raises:
            Conflict: there is a user already (code ``bootstrap_closed``).
        """
        ...

    async def bump_epoch(self, user_id: str) -> User:
        """Make every token of a user void.

        Raises:
            NotFound: there is no such user.
        """
        ...
