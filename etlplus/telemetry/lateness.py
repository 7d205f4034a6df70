"""
The lateness of the loop: how long after its moment a task that slept comes to run.

Everything that the daemon promises in time (beats, answers, news) comes at least this late, so it is the one figure that
shows whether something blocks the loop. It is measured by a task that does nothing else.
"""

from __future__ import annotations

import trio

from etlplus.telemetry.histogram import Histogram

EVERY_S = (
    0.025  # often enough to see a load of a few seconds, seldom enough to cost an idle machine nothing to speak of
)
BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Lateness:
    """Measures while ``watch`` runs; ``seconds`` holds what was found."""

    def __init__(self) -> None:
        self.seconds = Histogram(BOUNDS_S)

    async def watch(self) -> None:
        """Measure for ever."""
        while True:
            due = trio.current_time() + EVERY_S
            await trio.sleep_until(due)
            self.seconds.note(trio.current_time() - due)
