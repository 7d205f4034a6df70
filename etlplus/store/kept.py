"""
An unfinished run as a store keeps it: the record as it was last written, and the claim that was made since.

Claims are the most frequent of all changes, and everything that a claim makes of a run follows from who claimed and when. So
a claim writes these two and the attempt's number beside the record. The record of the present, the attempt in hand and the
events are made from them here, by the same functions of the study, and are written down with the next transition. Both bodies
keep their runs like this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from etlplus.jobs import transitions
from etlplus.jobs.model import Attempt, Run, RunEvent, RunState
from etlplus.jobs.outcome import Result


@dataclass(slots=True)
class Kept:
    """What stands in a line of ``run_live``. ``revision`` counts how often the record was written; ``slotted`` says whether
    the run holds slots under a limit.
    """

    run: Run
    attempt: int
    worker_id: str | None
    claimed_at: datetime | None
    revision: int = 1
    slotted: bool = False
    present: Run = field(init=False)
    """The run as it stands."""
    _claim: RunEvent | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.present = self.run
        if self.attempt != self.run.attempt and self.worker_id is not None and self.claimed_at is not None:
            self.present, self._claim = transitions.claim(self.run, self.worker_id, self.claimed_at)

    @property
    def unwritten(self) -> list[RunEvent]:
        """The events that follow from this line and are not in the history yet: its making, and the claim since."""
        events = [transitions.enqueued(self.run)] if self.run.version == 1 else []
        return [*events, self._claim] if self._claim is not None else events

    @property
    def attempt_in_hand(self) -> Attempt | None:
        """The attempt that a worker carries now."""
        if self.worker_id is None or self.claimed_at is None:
            return None
        return transitions.begun(self.present, self.worker_id, self.claimed_at)


class Told(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event as the history keeps it: without the run's id, which stands beside it, and without names, since most of all
    that is ever written is events.
    """

    version: int
    at: datetime
    kind: str
    state: RunState
    attempt: int
    detail: dict[str, Any]


def told(events: Iterable[RunEvent]) -> list[Told]:
    """Events of one run, as the history keeps them."""
    return [Told(each.version, each.at, each.kind, each.state, each.attempt, each.detail) for each in events]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one transition writes: the record, the events up to it, and the attempt if it ended one."""

    run: Run
    events: Sequence[RunEvent]
    ended: Attempt | None = None
    kept: Kept | None = None

    @property
    def frees(self) -> bool:
        """Whether the run held slots under a limit until now."""
        return self.ended is not None and self.kept is not None and self.kept.slotted


def entry(kept: Kept, change: transitions.Change) -> Entry:
    """What to write for a transition that leaves the attempt in hand, if any, as it is."""
    run, event = change
    return Entry(run, [*kept.unwritten, event], None, kept)


def closing(kept: Kept, change: transitions.Change, result: Result | None, now: datetime) -> Entry:
    """What to write for a transition that ends the attempt in hand; without a result its worker was lost."""
    run, event = change
    in_hand = kept.attempt_in_hand
    assert in_hand is not None
    return Entry(run, [*kept.unwritten, event], transitions.ended(in_hand, result, now), kept)


def history(run_id: str, written: Iterable[Sequence[Told]], kept: Kept | None) -> list[RunEvent]:
    """The events of a run in order: those in the history, then those that its line implies."""
    events = {
        each.version: RunEvent(
            run_id=run_id, version=each.version, at=each.at, kind=each.kind, state=each.state, attempt=each.attempt,
            detail=each.detail,
        )
        for some in written
        for each in some
    }  # fmt: skip
    for event in kept.unwritten if kept else ():
        events.setdefault(event.version, event)
    return [events[version] for version in sorted(events)]


def letter_code(run: Run) -> str | None:
    """The code under which a run that has just ended becomes a dead letter; None if it does not."""
    if run.state is not RunState.FAILED:
        return None
    return run.error.code if run.error else "internal"
