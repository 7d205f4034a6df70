"""
What must hold after every night, and what must have been seen in a thousand of them, or the promises were never at stake.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from etlplus.errors import StoreUnavailable
from etlplus.jobs.lifecycle import Happening
from etlplus.jobs.model import Run, RunEvent, RunState
from etlplus.jobs.ticks import SCHEDULED, TickOutcome
from etlplus.runtime import Crash, GaveUp, Killed, Unhandled
from etlplus.runtime.actor import Context

from .people import BEAT_S
from .world import World

LAST = (Happening.SUCCEEDED, Happening.FAILED, Happening.CANCELLED, Happening.POISONED, Happening.TIMED_OUT)
EXPECTED = (Unhandled, GaveUp, Killed, StoreUnavailable)
"""What an actor may crash with: it was poisoned, and that too often, was frozen for longer than it may take to stop, or was
cancelled in the very moment in which the store failed it."""
SEEN_IN_A_HUNDRED = {
    # what befell the nodes
    "crash": 100, "cut off": 100, "freeze": 100, "kill": 100, "drain": 100, "shift clock": 100,
    "take store away": 100, "restart store": 100, "silence": 100, "lost answer": 100, "actor crashed": 100,
    "killed at work": 50, "heard no bells": 50, "long outage": 3,
    # what came of it
    "zombie refused": 5, "stale result": 20, "handed back": 10, "waited for a limit": 100, "held by another": 20, "replayed": 5,
    "waited for a token": 100, "right by a wrong machine": 50, "handed over": 10,
    Happening.RESCUED: 50, Happening.RETURNED: 50, Happening.RETRIED: 50, Happening.FAILED: 10,
    Happening.CANCELLED: 20, Happening.CANCEL_REQUESTED: 20,
    TickOutcome.FIRED: 100, TickOutcome.COALESCED: 5, TickOutcome.MISSED: 5, TickOutcome.OVERLAP: 5,
}  # fmt: skip
"""How often each thing is at least seen in a hundred nights."""


def assert_holds(world: World, seed: int) -> None:
    """Every run ends once and has its effect once, no limit is exceeded, nothing is left behind."""
    story = f"seed {seed}"
    assert world.house.broken == [], story
    assert_rates_hold(world, story)
    assert world.unaccounted == 0, f"{story}: the runtime lost messages"
    for crash in world.crashes:
        assert isinstance(crash.error, EXPECTED) or was_let_go(crash), f"{story}: {crash}"
    assert world.left_behind == {}, story
    by_hand = {run.id for run in world.runs if run.cause != SCHEDULED}
    assert by_hand == world.people.accepted, f"{story}: a run was lost or doubled"
    assert world.destination.rows.keys() <= {run.id for run in world.runs}, f"{story}: rows of nobody"
    for run in world.runs:
        _assert_ended_once(world, run, [event for event in world.events if event.run_id == run.id], story)
    assert_each_nominal_time_is_decided_once(world, story)
    letters = {letter.run.id for letter in world.letters}
    assert letters == {run.id for run in world.runs if run.state is RunState.FAILED}, f"{story}: letters"


def _assert_ended_once(world: World, run: Run, events: list[RunEvent], story: str) -> None:
    assert run.state.is_final, f"{story}: {run}"
    assert [event.version for event in events] == list(range(1, run.version + 1)), f"{story}: a gap in {events}"
    assert [event.kind in LAST for event in events].count(True) == 1, f"{story}: ended more than once: {events}"
    rows = world.destination.rows[run.id]
    if run.state is RunState.SUCCEEDED:
        assert rows == 1, f"{story}: a run succeeded with {rows} effects"
    elif run.state is RunState.CANCELLED:
        assert run.id in world.people.cancelled or run.cause == SCHEDULED, f"{story}: nobody cancelled {run}"
        assert rows <= 1, f"{story}: {rows} effects"
    else:
        assert run.error is not None, f"{story}: {run.state} without a reason"
        hopeless = run.error.code == "worker_lost" or (run.job_name, run.attempts_spent) == ("fragile", 2)
        assert hopeless, f"{story}: {run}"
        assert rows <= 1, f"{story}: {rows} effects"


def was_let_go(crash: Crash) -> bool:
    """Whether work beside a mailbox heard that the store is away when it was already cancelled: nobody waits for its answer any
    more, and the runtime tells of it as of a crash, so that it is not lost.
    """
    trace = crash.error.__traceback__
    let_go = trace is not None and trace.tb_frame.f_code is Context._pipe.__code__
    return let_go and isinstance(crash.error, StoreUnavailable)


def assert_rates_hold(world: World, story: str) -> None:
    """In no stretch of time more runs begin than the tokens that came in it, and a full bucket."""
    for key, rate in world.house.rates.items():
        begun = world.house.begun[key]
        for first, (since, _) in enumerate(begun):
            for amount, (_, until) in enumerate(begun[first:], start=1):
                most = rate.size + (until - since).total_seconds() * rate.count / rate.per_s
                assert amount <= most, f"{story}: {amount} runs of {key} began from {since} to {until}"


def assert_each_nominal_time_is_decided_once(world: World, story: str) -> None:
    """The lines of the ledger follow each other without gap or overlap, and those that fired have a run each."""
    timed, beats = world.people.timed, 0
    for line in reversed(world.ticks):
        first, last = ((at - timed.updated_at) / timedelta(seconds=BEAT_S) for at in (line.nominal_at, line.last_at))
        assert (first, last) == (beats + 1, beats + line.count), f"{story}: {line} after {beats} beats"
        beats += line.count
    assert beats == world.beats, f"{story}: {beats} nominal times were decided"
    made = sorted(run.id for run in world.runs if run.cause == SCHEDULED)
    assert made == sorted(line.run_id for line in world.ticks if line.run_id), f"{story}: lines and runs differ"


def seen_in(world: World) -> Counter[str]:
    """What came about in a night, and how often."""
    seen = Counter(world.house.seen)
    seen.update(event.kind for event in world.events)
    seen.update(tick.outcome for tick in world.ticks)
    seen["actor crashed"] += sum(isinstance(crash.error, Unhandled) for crash in world.crashes)
    seen["handed back"] += sum(event.detail.get("reason") == "the worker is stopping" for event in world.events)
    seen["zombie refused"] += world.destination.refused
    seen["stale result"] += world.stale_results
    return seen


def assert_all_was_seen(seen: Counter[str], nights: int) -> None:
    """A promise that was never at stake proves nothing."""
    rare = {what: seen[what] for what, least in SEEN_IN_A_HUNDRED.items() if seen[what] < least * nights // 100}
    assert rare == {}, f"in {nights} nights only"
