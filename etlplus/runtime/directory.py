"""
All identities of a system by name, and what its supervisors share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .actor_node import ActorNode
from .cell import Cell, Surroundings
from .node import Crash
from .ref import Name, PoolRef, Ref
from .specs import Child, Mailbox, Route
from .tree import Statistics

A = TypeVar("A")
COUNTERS = ("sent", "handled", "rejected", "dropped", "shed", "undelivered")


class Directory:
    """See the module.

    Args:
        hear: Told of every crash.
        meet: Shown every new identity before it takes messages; the test kit puts its faults there.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        hear: Callable[[Crash], None],
        meet: Callable[[Cell], None] = lambda cell: None,
    ) -> None:
        self.surroundings = surroundings
        self._meet = meet
        self.crashes = 0
        self._hear = hear
        self._refs: dict[str, Ref[Any]] = {}
        self._cells: dict[str, Cell] = {}
        self._gone = dict.fromkeys(COUNTERS, 0)

    def ref(self, name: Name[A]) -> Ref[A]:
        """The reference of a name. Raises KeyError if nobody is called so."""
        try:
            return self._refs[name.value]
        except KeyError:
            raise KeyError(f"nobody is called {name.value!r}; there are {', '.join(sorted(self._refs)[:20])}") from None

    def cell(self, name: Name[Any]) -> Cell:
        """The identity of a name. Raises KeyError if nobody is called so, or a whole pool is."""
        try:
            return self._cells[name.value]
        except KeyError:
            self.ref(name)
            raise KeyError(f"{name.value!r} is a pool; name one of its members, say '{name.value}-0'") from None

    def add_actor(self, spec: Child[Any], parent: str) -> ActorNode:
        """A new actor under ``parent``; its name must be free."""
        path = f"{parent}/{spec.name.value}"
        return ActorNode(spec, path, self.add(spec.name, path, spec.mailbox), self.ref, self.report)

    def add(self, name: Name[Any], path: str, mailbox: Mailbox) -> Cell:
        """A new identity.

        Raises:
            ValueError: the name is taken.
        """
        self._claim(name)
        cell = Cell(path, self.surroundings, capacity=mailbox.capacity, overflow=mailbox.overflow)
        self._cells[name.value] = cell
        self._refs[name.value] = Ref[Any](cell)
        self._meet(cell)
        return cell

    def add_pool(self, name: Name[Any], path: str, members: list[Cell], route: Route) -> None:
        """A name for several identities together."""
        self._claim(name)
        self._refs[name.value] = PoolRef[Any](path, members, route)

    def remove(self, name: Name[Any]) -> None:
        """An actor has ended for good: its name is free again, and its counts are kept."""
        del self._refs[name.value]
        cell = self._cells.pop(name.value)
        for counter in COUNTERS:
            self._gone[counter] += getattr(cell, counter)

    def report(self, crash: Crash) -> None:
        """Count a crash, and tell whoever listens."""
        self.crashes += 1
        self.surroundings.hooks.call(self._hear, crash)

    def statistics(self) -> Statistics:
        """Sums over all identities."""
        sums = {each: self._gone[each] + sum(getattr(cell, each) for cell in self._cells.values()) for each in COUNTERS}
        return Statistics(
            actors=len(self._cells),
            queued=sum(cell.queued for cell in self._cells.values()),
            crashes=self.crashes,
            dead_letters=self.surroundings.dead_letters.total,
            alarms=len(self.surroundings.alarms),
            **sums,
        )

    def _claim(self, name: Name[Any]) -> None:
        if name.value in self._refs:
            raise ValueError(f"two actors are called {name.value!r}")
