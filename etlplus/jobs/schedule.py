"""
What a tick does about a schedule: which runs it makes, what it passes over and why, and when to look again.

Decided from what is passed in, once for each nominal time: the caller writes the runs, one row for each that was fired, one
row for each stretch that was passed over, and the next time, all in one unit.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b

import msgspec

from etlplus.jobs.occurrences import latest, next_occurrence, occurrences
from etlplus.jobs.passing import Passed, Passing, stretch
from etlplus.jobs.reasons import Occurrence, Reason
from etlplus.jobs.schedules import OnceSchedule, Schedule

_TICK = timedelta(microseconds=1)


class Fired(msgspec.Struct, frozen=True):
    """A run to make: for which nominal time, not before when, and whether it has to wait for the runs before it.

    ``run_at`` is the nominal time and its jitter; in the past, it means at once.
    """

    nominal_at: datetime
    run_at: datetime
    reason: Reason
    waits: bool = False


class Decision(msgspec.Struct, frozen=True):
    """What to do about a schedule: runs to make, earliest first; what was passed over; whether the unfinished runs are to
    be cancelled; and the first nominal time that is not decided yet, None if there is none.
    """

    fired: tuple[Fired, ...] = ()
    passed: tuple[Passed, ...] = ()
    cancel_unfinished: bool = False
    next_at: datetime | None = None


def next_after(schedule: Schedule, saved_at: datetime, moment: datetime) -> datetime | None:
    """
    The first nominal time strictly after ``moment``; None if there will be no more.

    Args:
        schedule: Any kind.
        saved_at: Where counting starts when an interval or a calendar names no start.
        moment: The time after which to look.
    """
    found = next_occurrence(schedule, saved_at, moment)
    return found.at if found else None


def decide(
    schedule: Schedule, *, job_id: str, saved_at: datetime, due_at: datetime, now: datetime, unfinished: int
) -> Decision:
    """
    What a tick does about a schedule whose first undecided nominal time has come.

    Args:
        schedule: Any kind.
        job_id: Whose schedule it is; chooses the jitter.
        saved_at: Where counting starts when an interval or a calendar names no start.
        due_at: The first nominal time that is not decided yet, as an earlier decision or ``next_after`` gave it. If the
            rules of the zone have changed since, what is a nominal time now counts.
        now: The time of the tick.
        unfinished: How many runs of this schedule are unfinished, those that wait among them.

    Limits:
        At most ``catch_up_max`` runs; its cost does not grow with the length of an outage.
    """
    first, second = _pair(schedule, saved_at, due_at - _TICK)
    if first is None or first.at > now:
        return Decision(next_at=first.at if first else None)
    if second is None or second.at > now:
        due, next_at = [first], second.at if second else None
    else:
        due = latest(schedule, saved_at, due_at - _TICK, now, _wanted_max(schedule) + 1)
        next_at = next_after(schedule, saved_at, due[-1].at)
    wanted, passed = _by_misfire(schedule, saved_at, first, due, now)
    return _by_overlap(schedule, _Choice(job_id, wanted, passed, next_at), unfinished)


def held_back(decision: Decision) -> Decision:
    """The decision while the job's queue takes no new runs: what it would have made is passed over."""
    if not decision.fired:
        return decision
    first_at, last_at = decision.fired[0].nominal_at, decision.fired[-1].nominal_at
    held = Passed(first_at, last_at, len(decision.fired), Passing.DRAINING)
    return Decision(passed=(*decision.passed, held), next_at=decision.next_at)


def pauses(schedule: Schedule, failures: int) -> bool:
    """Whether a job is to be paused, after so many runs of its schedule in a row have failed."""
    if isinstance(schedule, OnceSchedule) or schedule.pause_after_failures is None:
        return False
    return failures >= schedule.pause_after_failures


def jitter_s(schedule: Schedule, job_id: str, nominal_at: datetime, next_at: datetime | None) -> float:
    """The wait between a nominal time and its run: 0 to below ``jitter_s``, and below the way to the next nominal time."""
    span_s = schedule.jitter_s
    if next_at is not None:
        span_s = min(span_s, (next_at - nominal_at).total_seconds())
    digest = blake2b(f"{job_id} {nominal_at.timestamp()!r}".encode(), digest_size=6).digest()
    return span_s * int.from_bytes(digest) / 2**48


class _Choice(msgspec.Struct, frozen=True):
    """A decision half made: what the misfire rule wants and passes over."""

    job_id: str
    wanted: list[Occurrence]
    passed: tuple[Passed, ...]
    next_at: datetime | None


def _pair(schedule: Schedule, saved_at: datetime, after: datetime) -> tuple[Occurrence | None, Occurrence | None]:
    walk = occurrences(schedule, saved_at, after)
    return next(walk, None), next(walk, None)


def _wanted_max(schedule: Schedule) -> int:
    return schedule.catch_up_max if schedule.misfire == "run_all" else 1


def _by_misfire(
    schedule: Schedule, saved_at: datetime, first: Occurrence, due: list[Occurrence], now: datetime
) -> tuple[list[Occurrence], tuple[Passed, ...]]:
    """Which of the nominal times that are due get a run. ``due`` are the latest, one more than could get one."""
    wanted = due[-_wanted_max(schedule) :]
    if schedule.misfire == "skip" and (now - wanted[-1].at).total_seconds() > schedule.grace_s:
        wanted = []
    left = due[: len(due) - len(wanted)]
    if not left:
        return wanted, ()
    cause = Passing.COALESCED if schedule.misfire == "run_once" else Passing.MISSED
    return wanted, (stretch(schedule, saved_at, first.at, left[-1].at, cause),)


def _by_overlap(schedule: Schedule, choice: _Choice, unfinished: int) -> Decision:
    """Of what the misfire rule wants, the latest for which the overlap rule has room."""
    room = {
        "allow": len(choice.wanted),
        "skip": max(1 - unfinished, 0),
        "queue_one": max(2 - unfinished, 0),
        "cancel_old": 1,
    }[schedule.overlap]
    cut = max(len(choice.wanted) - room, 0)
    refused, taken = choice.wanted[:cut], choice.wanted[cut:]
    passed = choice.passed
    if refused:
        passed += (Passed(refused[0].at, refused[-1].at, len(refused), Passing.OVERLAP),)
    return Decision(
        fired=_fired(schedule, choice, taken, unfinished),
        passed=passed,
        cancel_unfinished=schedule.overlap == "cancel_old" and unfinished > 0 and bool(taken),
        next_at=choice.next_at,
    )


def _fired(schedule: Schedule, choice: _Choice, taken: list[Occurrence], unfinished: int) -> tuple[Fired, ...]:
    following = [*(each.at for each in taken[1:]), choice.next_at][: len(taken)]
    in_turn = schedule.overlap == "queue_one"
    return tuple(
        Fired(
            each.at,
            each.at + timedelta(seconds=jitter_s(schedule, choice.job_id, each.at, after)),
            each.reason,
            waits=in_turn and unfinished + number > 0,
        )
        for number, (each, after) in enumerate(zip(taken, following, strict=True))
    )
