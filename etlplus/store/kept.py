"""
An unfinished run as a store keeps it: the record as it was last written, and the claim that was made since.

Claims are the most frequent of all changes, and everything that a claim makes of a run follows from who claimed and when. So
a claim writes these two and the attempt's number beside the record. The record of the present, the attempt in hand and the
events are made from them here, by the same functions of the study, and are written down with the next transition. Both bodies
keep their runs like this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from etlplus.jobs import transitions
from etlplus.jobs.model import Attempt, Run, RunEvent
from etlplus.jobs.outcome import Result


class Kept(msgspec.Struct, frozen=True):
    """What stands in a line of ``run_live``. ``revision`` counts how often the record was written."""

    run: Run
    attempt: int
    worker_id: str | None
    claimed_at: datetime | None
    revision: int = 1
    slotted: bool = False

    @property
    def present(self) -> Run:
        """The run as it stands."""
        if self.attempt == self.run.attempt or self.worker_id is None or self.claimed_at is None:
            return self.run
        return transitions.claim(self.run, self.worker_id, self.claimed_at)[0]

    @property
    def unwritten(self) -> list[RunEvent]:
        """The events that follow from this line and are not in the history yet: its making, and the claim since."""
        events = [transitions.enqueued(self.run)] if self.run.version == 1 else []
        if self.attempt != self.run.attempt and self.worker_id is not None and self.claimed_at is not None:
            events.append(transitions.claim(self.run, self.worker_id, self.claimed_at)[1])
        return events

    @property
    def attempt_in_hand(self) -> Attempt | None:
        """The attempt that a worker carries now."""
        if self.worker_id is None or self.claimed_at is None:
            return None
        return transitions.begun(self.present, self.worker_id, self.claimed_at)


class Entry(msgspec.Struct, frozen=True):
    """What one transition writes: the record, the events up to it, and the attempt if it ended one."""

    run: Run
    events: Sequence[RunEvent]
    ended: Attempt | None = None
    kept: Kept | None = None


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


def history(written: Iterable[Sequence[RunEvent]], kept: Kept | None) -> list[RunEvent]:
    """The events of a run in order: those in the history, then those that its line implies."""
    events = {event.version: event for some in written for event in some}
    for event in kept.unwritten if kept else ():
        events.setdefault(event.version, event)
    return [events[version] for version in sorted(events)]
