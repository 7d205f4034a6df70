"""
The choices that a schedule has: for clocks that are changed, for ticks that come late, for runs that are unfinished.

What each choice means is said where it is an option, in ``schedules``.
"""

from __future__ import annotations

from typing import Literal

GapRule = Literal["next_valid", "before", "skip"]
"""For a wall time that never is."""

RepeatRule = Literal["first", "second", "both"]
"""For a wall time that is twice."""

MisfireRule = Literal["run_once", "run_all", "skip"]
"""For nominal times that passed while nothing ticked."""

OverlapRule = Literal["allow", "skip", "queue_one", "cancel_old"]
"""For a nominal time at which a run of the schedule is unfinished."""
