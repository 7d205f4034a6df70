"""
The life of a run: every state it can be in and every change that may happen to it.

This table is the only place where a run's state is decided. Stores write what it says; the diagram in the docs is drawn
from it; tests walk every pair.
"""

from __future__ import annotations

from enum import StrEnum

from etlplus.jobs.model import RunState

S = RunState


class Happening(StrEnum):
    """What can happen to a run; also the ``kind`` of its events."""

    ENQUEUED = "enqueued"
    """It was asked for, by a person or by a schedule."""
    REPLACED = "replaced"
    """It waits still, and was given other parameters."""
    CAME_DUE = "came_due"
    """The time it waited for has come."""
    RELEASED = "released"
    """What it waited for is over, and its time has not come."""
    TIMED_OUT = "timed_out"
    """It waited longer than it may."""
    CLAIMED = "claimed"
    """A worker took it."""
    SUCCEEDED = "succeeded"
    """The attempt committed."""
    FAILED = "failed"
    """The attempt failed and there is none left, or trying again cannot help."""
    RETRIED = "retried"
    """The attempt failed and another will follow after a while."""
    CANCEL_REQUESTED = "cancel_requested"
    """Somebody asked for its end while a worker carries it."""
    CANCELLED = "cancelled"
    """It ended because somebody asked for it."""
    RETURNED = "returned"
    """The worker gave it back unharmed."""
    RESCUED = "rescued"
    """Its worker was lost, and it was taken back."""
    POISONED = "poisoned"
    """It has cost too many workers and is set aside."""


TRANSITIONS: dict[tuple[RunState, Happening], RunState] = {
    (S.SCHEDULED, Happening.REPLACED): S.SCHEDULED,
    (S.BLOCKED, Happening.REPLACED): S.BLOCKED,
    (S.QUEUED, Happening.REPLACED): S.QUEUED,
    (S.SCHEDULED, Happening.CAME_DUE): S.QUEUED,
    (S.SCHEDULED, Happening.TIMED_OUT): S.FAILED,
    (S.SCHEDULED, Happening.CANCELLED): S.CANCELLED,
    (S.BLOCKED, Happening.CAME_DUE): S.QUEUED,
    (S.BLOCKED, Happening.RELEASED): S.SCHEDULED,
    (S.BLOCKED, Happening.TIMED_OUT): S.FAILED,
    (S.BLOCKED, Happening.CANCELLED): S.CANCELLED,
    (S.QUEUED, Happening.CLAIMED): S.RUNNING,
    (S.QUEUED, Happening.TIMED_OUT): S.FAILED,
    (S.QUEUED, Happening.CANCELLED): S.CANCELLED,
    (S.RUNNING, Happening.SUCCEEDED): S.SUCCEEDED,
    (S.RUNNING, Happening.FAILED): S.FAILED,
    (S.RUNNING, Happening.RETRIED): S.SCHEDULED,
    (S.RUNNING, Happening.CANCEL_REQUESTED): S.RUNNING,
    (S.RUNNING, Happening.CANCELLED): S.CANCELLED,
    (S.RUNNING, Happening.RETURNED): S.QUEUED,
    (S.RUNNING, Happening.RESCUED): S.QUEUED,
    (S.RUNNING, Happening.POISONED): S.FAILED,
}
"""Every change there is: (state, what happened) to the state afterwards. ``enqueued`` makes a run and is not listed."""


def after(state: RunState, happening: Happening) -> RunState:
    """The state after ``happening``.

    Raises:
        ValueError: that cannot happen to a run in this state; whoever asks has a bug.
    """
    try:
        return TRANSITIONS[state, happening]
    except KeyError:
        raise ValueError(f"a run that is {state} cannot be {happening}") from None


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    made = [f"    [*] --> {state}: enqueued" for state in (S.QUEUED, S.SCHEDULED, S.BLOCKED)]
    lines = ["stateDiagram-v2", *made]
    lines += [f"    {state} --> {target}: {happening}" for (state, happening), target in TRANSITIONS.items()]
    lines += [f"    {state} --> [*]" for state in RunState if state.is_final and state in TRANSITIONS.values()]
    return "\n".join(lines)
