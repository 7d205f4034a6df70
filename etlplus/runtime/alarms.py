"""
Whatever is due at a time, for a whole system: one heap, and one task that sleeps until the first of it.

Deadlines of asks and timers of actors are alarms. A cancel scope for each ask would double what an ask costs, and a task for
each timer would cost several kilobytes. An alarm that is not pending any more stays in the heap until it would have rung, or
until the heap has doubled; then all such are thrown out at once.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Protocol

import trio

HEAP_MIN = 64
NEVER = float("inf")


class Alarm(Protocol):
    """Something that is due. It rings once at most, and only while it is pending."""

    pending: bool

    def ring(self) -> None: ...


class Alarms:
    """See the module. Times are those of Trio's clock, in seconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._grown_at = HEAP_MIN
        self._number = count()
        self._wakes_at = NEVER
        self._sleep = trio.CancelScope()

    def __len__(self) -> int:
        return sum(alarm.pending for _, _, alarm in self._heap)

    def set(self, due_at: float, alarm: Alarm) -> None:
        """Ring ``alarm`` at ``due_at`` if it is pending then; equal times ring in the order in which they were set.

        Raises:
            ValueError: ``due_at`` is not a number, and would put all others out of order.
        """
        if due_at != due_at:
            raise ValueError("nothing is due at nan")
        heapq.heappush(self._heap, (due_at, next(self._number), alarm))
        if due_at < self._wakes_at:
            self._wakes_at = self._sleep.deadline = due_at
        if len(self._heap) > self._grown_at:
            self._heap[:] = [entry for entry in self._heap if entry[2].pending]
            heapq.heapify(self._heap)
            self._grown_at = max(HEAP_MIN, 2 * len(self._heap))

    async def ring_when_due(self) -> None:
        """Serve the heap until cancelled."""
        heap = self._heap
        while True:
            self._wakes_at = heap[0][0] if heap else NEVER
            with trio.CancelScope(deadline=self._wakes_at) as self._sleep:
                await trio.sleep_forever()
            now = trio.current_time()
            while heap and heap[0][0] <= now:
                alarm = heapq.heappop(heap)[2]
                if alarm.pending:
                    alarm.ring()
