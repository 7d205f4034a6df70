"""
What every store promises, in five parts: write, read, lease, node, admin.

The service gets the write and read parts, the staff gets the lease and node parts, whoever runs the house the admin part.
Each call is one unit: it takes effect completely or not at all, and when it returns, what it did survives a crash. The
time is always passed in as ``now``; what a store does goes by no clock of its own. Every transition writes its ``RunEvent``
in the same unit, and a call makes at most one transition of any one run, so the versions that a caller sees of a run have
no gaps.

Cancellation: every call is a cancel point. A cancelled unit may have taken effect, but never half of it, and it leaves
no connection, lock or transaction behind. Any call raises ``StoreUnavailable`` when the store is closed or cannot
answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from etlplus.jobs.explaining import Explanation
from etlplus.jobs.letters import DeadLetter, Edit, LetterFilter, Replay
from etlplus.jobs.logs import LogLine, LogState, NewLine
from etlplus.jobs.model import (
    Attempt,
    Job,
    JobDraft,
    NewRun,
    Run,
    RunEvent,
    RunState,
    User,
    UserDraft,
    Worker,
)
from etlplus.jobs.outcome import Result
from etlplus.jobs.queues import Limit, LimitDraft, Queue, QueueCounts, QueueDraft, QueueMode
from etlplus.jobs.receipts import Answer, Once, Receipt
from etlplus.jobs.retention import Keep, Tidied
from etlplus.jobs.ticks import Tick
from etlplus.store.bells import Bell
from etlplus.store.pooling import LaneFigures


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; an empty field asks for nothing."""

    states: tuple[RunState, ...] = ()
    job_id: str | None = None
    queue: str | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is. ``runs`` has every state; ``stale_results`` are outcomes that came too late and were not
    applied.
    """

    runs: dict[str, int]
    jobs: int
    workers: int
    stale_results: int


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """A run that the worker now holds, and the definition it was made from (of the run's own ``job_version``)."""

    run: Run
    job: Job


class Taken(msgspec.Struct, frozen=True):
    """The answer to a claim: what was taken, best rank first. ``next_at``: runs wait for tokens of a rate, and the first of
    these comes then; None if none do.
    """

    claimed: list[Claimed]
    next_at: datetime | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an attempt ended, as told by the worker that carried it."""

    run_id: str
    attempt: int
    worker_id: str
    result: Result


class Settled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of an outcome. Not ``applied``: a stale result; then ``run`` is None and nothing was changed.

    ``released`` is a run that had waited for this one and goes on now. ``freed``: slots under a limit are free now.
    """

    run_id: str
    attempt: int
    applied: bool
    run: Run | None = None
    released: Run | None = None
    freed: bool = False


class Beat(msgspec.Struct, frozen=True):
    """The answer to a heartbeat. Not ``alive``: the lease is gone and so are the runs. ``cancel`` are the ids of held
    runs that somebody wants cancelled. ``audience``: another worker attends to what this one publishes.
    """

    alive: bool
    cancel: tuple[str, ...] = ()
    audience: bool = False


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """What is waiting: how many runs are queued (counted up to 1,000), and when the next thing is due for a tick."""

    queued: int
    due_at: datetime | None


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """How the body is doing: its kind, schema version, size, and figures of its own (units, waits, connections)."""

    kind: str
    schema_version: int
    size_bytes: int
    figures: dict[str, float] = {}


class Horizon(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps the store from cleaning up behind itself.

    ``oldest_s`` is how long the oldest snapshot has been open that somebody else holds (a session, a prepared transaction),
    and ``culprit`` says whose it is; None if there is none. ``dead_ratio`` is the share of dead rows among all rows of
    ``run_live``, as last counted: where it grows, claims walk over graves.
    """

    oldest_s: float = 0.0
    culprit: str | None = None
    dead_ratio: float = 0.0


class Bulletin(msgspec.Struct, frozen=True):
    """What a worker published: numbered from 1 by itself, without gaps."""

    worker_id: str
    number: int
    body: bytes


class Bulletins(msgspec.Struct, frozen=True):
    """What others published, of each worker in order, and who the others are. ``more``: that was not all."""

    bulletins: Sequence[Bulletin] = ()
    workers: frozenset[str] = frozenset()
    more: bool = False


class WriteStore(Protocol):
    """What people and programs change."""

    def once(self, request: Once) -> Store:
        """The same store for the deed of one request: the unit that writes leaves the receipt of the request, or changes
        nothing and raises Conflict (code ``already_done``) because the key has one. Runs that it makes are named there.
        """
        ...

    async def keep_answer(self, request: Once, answer: Answer) -> None:
        """Keep what a request was answered. Of several, the first is kept; a request that changed nothing has no receipt
        yet, and gets one.
        """
        ...

    async def save_job(
        self, draft: JobDraft, *, now: datetime, job_id: str | None = None, expected_version: int | None = None
    ) -> Job:
        """Store a new job, or the next version of ``job_id``.

        Nominal times that have come and that nothing has ticked for are decided by the schedule they belong to, and written
        into the ledger; the runs are made of the new version. If that is paused or has no schedule, they were missed.

        Raises:
            Conflict: another job has the name (code ``name_taken``).
            Stale: the job is not at ``expected_version`` any more.
            NotFound: there is no ``job_id``.
            Invalid: it names a queue or a limit that does not exist (codes ``unknown_queue``, ``unknown_limit``).
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
            Invalid: a wish cannot be accepted (codes ``queue_draining``, ``too_large``, ``bad_key``, ``limit_key``); each
                problem points to its wish. Whatever is raised, nothing was stored.
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


class ReadStore(Protocol):
    """What people and programs look at. Asked by id, a missing thing raises NotFound; asked by name, it is None."""

    async def receipt(self, request: Once) -> Receipt | None:
        """What is kept of a request with this key, whether it is the same or not; None if nothing is any more."""
        ...

    async def job(self, job_id: str) -> Job: ...

    async def job_named(self, name: str) -> Job | None: ...

    async def jobs(self, *, limit: int = 100, after: str | None = None) -> list[Job]:
        """A page of jobs by name; ``after`` is the name of the last one seen."""
        ...

    async def run(self, run_id: str) -> Run: ...

    async def runs(self, which: RunFilter | None = None, *, limit: int = 100, after: str | None = None) -> list[Run]:
        """A page of runs, newest first; ``after`` is the id of the last one seen."""
        ...

    async def events(self, run_id: str, *, after_version: int = 0, limit: int = 1000) -> list[RunEvent]:
        """The history of a run in order, from the version after ``after_version`` on; empty for an unknown run."""
        ...

    async def attempts(self, run_id: str) -> list[Attempt]:
        """The attempts of a run in order; empty for an unknown run."""
        ...

    async def log(
        self, run_id: str, attempt: int, *, after: int = 0, search: str | None = None, limit: int = 1000
    ) -> list[LogLine]:
        """The log of an attempt in order, from the line after number ``after`` on; with ``search``, only the lines that
        have this text in them, whatever the case of its letters a to z.
        """
        ...

    async def log_tail(self, run_id: str, attempt: int, *, limit: int = 100) -> list[LogLine]:
        """The last lines of the log of an attempt, in order."""
        ...

    async def log_state(self, run_id: str, attempt: int) -> LogState:
        """How far the log of an attempt is, and how much of it was dropped."""
        ...

    async def explain(self, run_id: str, *, now: datetime) -> Explanation:
        """Why a run is not running: the facts that a claim would find in its way, in order."""
        ...

    async def counts(self) -> Counts: ...

    async def workers(self) -> list[Worker]:
        """Every worker that has joined and neither left nor been found dead."""
        ...

    async def dead_letters(
        self, which: LetterFilter | None = None, *, resolved: bool = False, limit: int = 100, after: str | None = None
    ) -> list[DeadLetter]:
        """A page of runs that failed for good and that nobody replayed or discarded yet, newest run first; or, with
        ``resolved``, of those that somebody did. ``after`` is the id of the last run seen.
        """
        ...

    async def ticks(self, job_id: str, *, limit: int = 100, after: tuple[datetime, str] | None = None) -> list[Tick]:
        """A page of the tick ledger of a job, newest nominal time first; empty for an unknown job. ``after`` are the
        ``nominal_at`` and the ``outcome`` of the last line seen.
        """
        ...

    async def queues(self) -> list[QueueCounts]:
        """Every queue by name, with how much waits in it."""
        ...

    async def limits(self) -> list[Limit]:
        """Every limit by name."""
        ...

    async def user(self, user_id: str) -> User: ...

    async def user_named(self, name: str) -> User | None: ...

    async def has_users(self) -> bool: ...


class LeaseStore(Protocol):
    """What workers do. Whoever does not name the present (run, attempt, worker) holds nothing and changes nothing."""

    async def time(self) -> datetime | None:
        """What time it is by the store's own clock, which all who share it can go by; None if it has none."""
        ...

    async def join(self, worker: Worker, *, now: datetime) -> None:
        """Announce a worker; its lease runs until ``worker.expires_at``. Joining again renews the record."""
        ...

    async def beat(self, worker_id: str, *, now: datetime, expires_at: datetime, attends: bool = False) -> Beat:
        """Move the lease of a worker on, and hear what it should cancel. ``attends``: it follows what others publish."""
        ...

    async def claim(self, worker_id: str, *, limit: int, now: datetime, calls: bool = False) -> Taken:
        """Take up to ``limit`` queued runs, best rank first; no run is ever given to two. With ``calls`` these are the runs
        that call a function of the worker's, otherwise all others: the two have room of their own in a worker.

        Passed over are runs of paused queues, runs that ask for labels which the worker lacks, and runs whose limit, queue
        or house has no slot or no token left: of no key are ever more runs in hand than it has slots, nor more begun than its
        rate allows. Of runs with limit keys, only those of a few dozen keys are looked at in one claim, and these keys go to
        the back of the line; one without a token is looked at again when that comes.

        Raises:
            Conflict: the worker has not joined, or its lease is over (code ``lease_lost``).
        """
        ...

    async def freeze(self, run_id: str, attempt: int, bounds: Mapping[str, Any], *, now: datetime) -> bool:
        """Keep what the attempt found in its sources. The first writer wins.

        Returns:
            True if ``bounds`` are now the run's; False if others were kept before, or the attempt holds nothing any
            more.
        """
        ...

    async def append_log(
        self, run_id: str, attempt: int, worker_id: str, lines: Sequence[NewLine], *, now: datetime
    ) -> LogState | None:
        """Append to the log of an attempt in hand, in order; None if that attempt is not held any more, and nothing was
        kept. Lines and logs have their bounds (``etlplus.jobs.logs``); what is above is counted as dropped.
        """
        ...

    async def acknowledge(self, outcomes: Sequence[Outcome], *, now: datetime) -> list[Settled]:
        """Settle ended attempts, answered in order. What matches no held (run, attempt, worker) is a stale result: it
        is counted and changes nothing. One outcome can fail to apply without the others.
        """
        ...

    async def rescue(self, *, now: datetime, dead: Sequence[str] = (), limit: int = 500) -> list[Run]:
        """Take the runs of lost workers back: those known to be ``dead``, or if none is named, those whose lease is over at
        ``now``. After an outage every lease looks old, so who knows of some that are dead must not harm the others.

        A run goes back to its queue; if cancelled meanwhile it is cancelled; if it is poison, since it has cost
        ``Run.poison_after`` workers without ending once in order, it is failed as ``worker_lost``, and its error tells of each
        of them. The workers are forgotten: their next beat finds out. A full answer (``limit`` runs) means that there may be
        more.
        """
        ...

    async def leave(self, worker_id: str, *, now: datetime) -> list[Run]:
        """Forget a worker that stops in order; what it still holds goes back to the queue at once, uncounted."""
        ...

    async def tick(self, *, now: datetime, limit: int = 500) -> list[Run]:
        """Do what is due: scheduled runs become queued, those that have waited too long fail, schedules are decided.

        What each schedule does is what ``etlplus.jobs.schedule.decide`` says: runs that are made or cancelled, lines in the
        tick ledger, and the next time, in one unit. Of any number of nodes ticking at once, one decides about a nominal time.
        At most ``limit`` schedules and waiting runs are looked at; ``queued_hint`` tells whether more is due. A job that cannot
        be read is set aside, and holds up no other.
        """
        ...

    async def queued_hint(self) -> Hint:
        """Whether a claim or a tick is worth while, and when the next tick will be."""
        ...


class NodeStore(Protocol):
    """How equal nodes on one store wake each other, and tell each other's watchers what they do.

    Whatever is done through a store that other nodes should look at pulls a bell: runs that come into a queue, slots that
    become free, queues and limits that let more through, schedules that were edited, workers that are asked for something.
    """

    def pull(self, bell: Bell) -> None:
        """Have a bell rung."""
        ...

    async def wait_pulled(self) -> None:
        """Return once a bell was pulled that has not been rung."""
        ...

    async def ring(self) -> frozenset[Bell]:
        """Ring what was pulled, each bell once, for every node that hears; answers what was rung. A node does not hear its
        own bells, but for the test.

        Raises:
            StoreUnavailable: nobody heard; what was pulled is kept for the next time.
        """
        ...

    async def hear(self, heard: Callable[[Bell], None]) -> None:
        """Call ``heard`` for every bell, until cancelled. It begins with every bell there is but the test, as soon as none
        can be missed any more: nobody knows what was rung before.

        Raises:
            StoreUnavailable: no bell will be heard any more; hear again.
        """
        ...

    async def publish(self, bulletin: Bulletin) -> None:
        """Leave something for whoever attends; published twice, it is there once. A few hundred of each worker are kept, and
        none beyond a crash of the store. A store that only one process can hold keeps none: SQLite.
        """
        ...

    async def bulletins(self, worker_id: str, after: Mapping[str, int]) -> Bulletins:
        """What workers other than ``worker_id`` published after these numbers, and from those not named everything; not
        all at once if that is much.
        """
        ...

    async def bulletin_numbers(self, worker_id: str) -> dict[str, int]:
        """For each worker other than ``worker_id``, the number of the last that it published; 0 if there is none."""
        ...


class AdminStore(Protocol):
    """What whoever runs the house asks."""

    async def ping(self) -> None:
        """Return once the store has answered; this is the health check."""
        ...

    async def tend(self) -> None:
        """Look after connections that nobody uses: those too old or too many are closed, those silent for long are asked
        whether they still work, missing ones are opened. An embedded store has none.
        """
        ...

    async def distrust(self) -> None:
        """The store did not answer: whatever connections nobody uses are dropped, since they may lead nowhere."""
        ...

    def lanes(self) -> Mapping[str, LaneFigures]:
        """The connections of each lane, by its name; an embedded store has none."""
        ...

    async def statistics(self) -> Statistics: ...

    async def horizon(self) -> Horizon:
        """Whether somebody keeps dead rows from being removed. SQLite has none: it answers that all is well."""
        ...

    async def tidy(self, keep: Keep, *, now: datetime, limit: int = 1000) -> Tidied:
        """Remove history that is too old or too much, oldest first, and make room for what comes.

        Lines of the tick ledger go by their age and their number, receipts by their age, versions of jobs once no run needs
        them, up to ``limit`` of each a call. SQLite removes up to ``limit`` runs a call.
        PostgreSQL drops whole weeks, never the present one, and none in which there is an unfinished run or an open dead
        letter; its size is that of the history, SQLite's that of everything.
        Any number of nodes may tidy at once.
        """
        ...

    async def migrate(self) -> int:
        """Bring the schema to this version of the program, and try again to read jobs that the last one could not (done when
        opening, too). Returns the schema version.

        Raises:
            Misconfigured: the schema is newer than this program (code ``schema_newer``).
        """
        ...


class Store(WriteStore, ReadStore, LeaseStore, NodeStore, AdminStore, Protocol):
    """The whole contract, as ``open_store`` gives it."""
