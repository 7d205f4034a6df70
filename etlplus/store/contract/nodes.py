"""
The node half: how equal nodes wake and inform each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from etlplus.store.bells import Bell
from etlplus.store.contract.records import (
    Bulletin,
    Bulletins,
)


class NodeStore(Protocol):
    """How equal nodes on one store wake each other, and tell each other's watchers what they do.

    Whatever is done through a store that other nodes should look at pulls a bell: runs that come into a queue, slots that
    become free, queues and limits that let more through, schedules that were edited, workers that are asked for something.
    """

    def pull(self, bell: Bell) -> None:
        """Have a bell rung."""
        ...

    async def wait_pulled(self) -> None:
        """Return once a bell was pulled that has not been rung."""
        ...

    async def ring(self) -> frozenset[Bell]:
        """Ring what was pulled, each bell once, for every node that hears; answers what that was. A node does not hear its
        own bells, but for the test. While the last beat of its worker was answered without company, nobody is known to hear
        the others, and they need not be rung before one is answered with company.

        Raises:
            StoreUnavailable: nobody heard; what was pulled is kept for the next time.
        """
        ...

    async def hear(self, heard: Callable[[Bell], None]) -> None:
        """Call ``heard`` for every bell, until cancelled. It begins with all that there may be to look at, as soon as none
        can be missed any more: nobody knows what was rung before.

        Raises:
            StoreUnavailable: no bell will be heard any more; hear again.
        """
        ...

    async def publish(self, bulletin: Bulletin) -> None:
        """Leave something for whoever attends; published twice, it is there once. A few hundred of each worker are kept, and
        none beyond a crash of the store. A store that only one process can hold keeps none: SQLite.
        """
        ...

    async def bulletins(self, worker_id: str, after: Mapping[str, int]) -> Bulletins:
        """What workers other than ``worker_id`` published after these numbers, and from those not named everything; not
        all at once if that is much.
        """
        ...

    async def bulletin_numbers(self, worker_id: str) -> dict[str, int]:
        """For each worker other than ``worker_id``, the number of the last that it published; 0 if there is none."""
        ...
