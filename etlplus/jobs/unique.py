"""
What becomes of a wish whose unique key is somebody's: a key belongs to the newest run that was made with it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from etlplus.jobs.model import LIVE_STATES, NewRun, Run, RunState

IDEMPOTENT = "idempotency/"
"""Begins the unique keys that are made from an idempotency key, and are nobody's business but the one's who gave it."""


class Verdict(Enum):
    """What to do with a wish."""

    MAKE = "make"
    """A new run, which has the key from now on."""
    ANSWER = "answer"
    """The holder is the answer."""
    REPLACE = "replace"
    """The holder takes the wish's parameters, and is the answer."""
    REJECT = "reject"
    """The wish, and all that came with it, is refused."""


def verdict(wish: NewRun, holder: Run | None, now: datetime) -> Verdict:
    """
    What to do with a wish that has a key.

    Args:
        holder: The newest run that was made with the key, as it stands.
    """
    rule = wish.unique
    if holder is None or holder.state not in rule.states:
        return Verdict.MAKE
    if rule.period_s is not None and now >= holder.created_at + timedelta(seconds=rule.period_s):
        return Verdict.MAKE
    if rule.on_conflict == "reject":
        return Verdict.REJECT
    waits = holder.state in LIVE_STATES and holder.state is not RunState.RUNNING
    return Verdict.REPLACE if rule.on_conflict == "replace" and waits else Verdict.ANSWER
