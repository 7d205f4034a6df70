"""
The outbox of a worker: outcomes of ended attempts that the store has not answered yet.

It outlives the actors that use it. An outcome leaves it in the moment of the store's answer and not before, so neither a crash
nor a cancellation loses one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from etlplus.store.contract import Outcome


class Outbox:
    """Outcomes that wait to be told, in order, and batches that are on their way to the store."""

    def __init__(self) -> None:
        self._waiting: deque[Outcome] = deque()
        self._on_their_way: list[list[Outcome]] = []

    def __iter__(self) -> Iterator[Outcome]:
        for batch in self._on_their_way:
            yield from batch
        yield from self._waiting

    def __len__(self) -> int:
        return self.waiting + sum(map(len, self._on_their_way))

    @property
    def waiting(self) -> int:
        """How many nobody is telling."""
        return len(self._waiting)

    def put(self, *outcomes: Outcome) -> None:
        """Add to the end of the line."""
        self._waiting.extend(outcomes)

    @contextmanager
    def telling(self, most: int) -> Generator[list[Outcome]]:
        """The first that wait, for as long as they are on their way. Whoever tells them removes what is answered; what is left
        in the batch afterwards is the first in line again.
        """
        batch = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._on_their_way.append(batch)
        try:
            yield batch
        finally:
            self._on_their_way = [each for each in self._on_their_way if each is not batch]
            self._waiting.extendleft(reversed(batch))
