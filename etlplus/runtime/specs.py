"""
The tree as a value: children, supervisors, and the rules by which they are restarted.

Specs are data: they can be printed and checked before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Generic, Literal, TypeVar

from etlplus.runtime.actor import Actor
from etlplus.runtime.messages import Ask
from etlplus.runtime.ref import Name, Ref

A = TypeVar("A")

Restart = Literal["permanent", "transient", "temporary"]
Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]

permanent: Restart = "permanent"
"""Always restarted."""
transient: Restart = "transient"
"""Restarted after a crash, not after an orderly end."""
temporary: Restart = "temporary"
"""Never restarted; its crash is reported and harms nobody."""

one_for_one: Strategy = "one_for_one"
"""Restart the child that crashed."""
one_for_all: Strategy = "one_for_all"
"""Stop all children in reverse order and start them again."""
rest_for_one: Strategy = "rest_for_one"
"""Stop the children that started after the one that crashed, and start it and them again."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart: doubling from ``first_s`` to ``cap_s``, jittered, reset after a healthy time."""

    first_s: float = 0.05
    factor: float = 2.0
    cap_s: float = 30.0
    jitter: float = 0.2
    reset_after_s: float = 60.0

    def wait_s(self, crashes: int, rng: Random) -> float:
        """Seconds to wait after the ``crashes``-th crash in a row, counted from 1."""
        wait_s = min(self.first_s * self.factor ** min(crashes - 1, 64), self.cap_s)
        return wait_s * (1 + self.jitter * rng.uniform(-1, 1))


@dataclass(frozen=True, slots=True)
class Intensity:
    """More than ``restarts`` restarts within ``within_s`` seconds, and the supervisor gives up."""

    restarts: int = 5
    within_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Mailbox:
    """How many messages may wait."""

    capacity: int = 1024


@dataclass(frozen=True, slots=True)
class Child(Generic[A]):
    """One actor of a tree. Made by ``child``."""

    name: Name[A]
    make: Callable[[], Actor[A]]
    restart: Restart
    shutdown_s: float
    start_within_s: float
    mailbox: Mailbox
    backoff: Backoff


def child(
    name: Name[A],
    make: Callable[[], Actor[A]],
    *,
    restart: Restart = permanent,
    shutdown: float = 5.0,
    start_within: float = 30.0,
    mailbox: Mailbox = Mailbox(),
    backoff: Backoff = Backoff(),
) -> Child[A]:
    """An actor of a tree.

    Args:
        make: Makes a fresh object for every (re)start; close over what must outlive a crash.
        shutdown: Seconds for the orderly stop before the actor is cancelled.
        start_within: Seconds for ``started`` to return.
    """
    return Child(name, make, restart, shutdown, start_within, mailbox, backoff)


class Supervisor:
    """Children that are started in order, restarted by a rule, and stopped in reverse order."""

    def __init__(
        self,
        *children: Child[Any] | Supervisor,
        strategy: Strategy = one_for_one,
        intensity: Intensity = Intensity(),
        name: str = "supervisor",
    ) -> None:
        self.children = children
        self.strategy = strategy
        self.intensity = intensity
        self.name = name


class Spawner:
    """Address of a dynamic supervisor."""


class Spawn(Ask[Spawner, Ref[Any]]):
    """Start one more child; the answer is its reference, once it is ready."""

    spec: Child[Any]


class Dynamic(Supervisor):
    """A supervisor that begins empty and starts children when asked: ``await ref.ask(Spawn(child(...)))``."""

    def __init__(self, name: Name[Spawner], *, intensity: Intensity = Intensity()) -> None:
        super().__init__(name=name.value, intensity=intensity)
        self.address = name
