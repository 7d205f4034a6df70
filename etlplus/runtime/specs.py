"""
The tree as a value: children, supervisors, and the rules by which they are restarted.

Specs are data: they can be printed and checked before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Any, Generic, Literal, TypeVar, get_args

import msgspec

from .actor import Actor
from .cell import Cell, Overflow
from .messages import Ask
from .ref import Name, Ref

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


FACTOR_MAX = 1000.0


def _require(what: str, value: float, low: float, high: float = float("inf")) -> None:
    """Refuse a number that makes no sense, with what would; nothing is from or up to nan."""
    if not low <= value <= high:
        raise ValueError(
            f"{what} is at least {low}{'' if high == float('inf') else f' and at most {high}'}, not {value}"
        )


def _require_one_of(what: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{what} is one of {', '.join(get_args(choices))}, not {value!r}")


class Backoff(msgspec.Struct, frozen=True):
    """How long to wait before a restart: doubling from ``first_s`` to ``cap_s``, jittered, reset after a healthy time."""

    first_s: float = 0.05
    factor: float = 2.0
    cap_s: float = 30.0
    jitter: float = 0.2
    reset_after_s: float = 60.0

    def __post_init__(self) -> None:
        for what in ("first_s", "cap_s", "reset_after_s"):
            _require(f"{what} of a backoff", getattr(self, what), 0)
        _require("factor of a backoff", self.factor, 1, FACTOR_MAX)
        _require("jitter of a backoff", self.jitter, 0, 1)

    def wait_s(self, crashes: int, rng: Random) -> float:
        """Seconds to wait after the ``crashes``-th crash in a row, counted from 1."""
        wait_s = min(self.first_s * self.factor ** min(crashes - 1, 64), self.cap_s)
        return wait_s * (1 + self.jitter * rng.uniform(-1, 1))


class Intensity(msgspec.Struct, frozen=True):
    """More than ``restarts`` restarts within ``within_s`` seconds, and the supervisor gives up."""

    restarts: int = 5
    within_s: float = 30.0

    def __post_init__(self) -> None:
        _require("restarts of an intensity", self.restarts, 0)
        _require("within_s of an intensity", self.within_s, 0)


fail: Overflow = "fail"
"""Who tells finds the mailbox full, and decides."""
drop_oldest: Overflow = "drop_oldest"
"""A new message takes the place of the one that has waited longest."""
keep_latest: Overflow = "keep_latest"
"""Of each type of message, one waits: a new one takes the place of the one before."""


class Mailbox(msgspec.Struct, frozen=True):
    """How many messages may wait, and what becomes of one for which there is no room. Every drop is counted."""

    capacity: int = 1024
    overflow: Overflow = fail

    def __post_init__(self) -> None:
        _require("capacity of a mailbox", self.capacity, 1)
        _require_one_of("overflow of a mailbox", self.overflow, Overflow)


BACKOFF, INTENSITY, MAILBOX = Backoff(), Intensity(), Mailbox()


class Child(msgspec.Struct, Generic[A], frozen=True):
    """One actor of a tree. Made by ``child``."""

    name: Name[A]
    make: Callable[[], Actor[A]]
    restart: Restart
    shutdown_s: float
    start_within_s: float
    mailbox: Mailbox
    backoff: Backoff
    intensity: Intensity | None

    def __post_init__(self) -> None:
        _require_one_of(f"restart of {self.name.value!r}", self.restart, Restart)
        _require(f"shutdown of {self.name.value!r}", self.shutdown_s, 0)
        _require(f"start_within of {self.name.value!r}", self.start_within_s, 0)


def child(
    name: Name[A],
    make: Callable[[], Actor[A]],
    *,
    restart: Restart = permanent,
    shutdown: float = 5.0,
    start_within: float = 30.0,
    mailbox: Mailbox = MAILBOX,
    backoff: Backoff = BACKOFF,
    intensity: Intensity | None = None,
) -> Child[A]:
    """An actor of a tree.

    Args:
        make: Makes a fresh object for every (re)start; close over what must outlive a crash.
        shutdown: Seconds for the orderly stop before the actor is cancelled.
        start_within: Seconds for ``started`` to return.
        intensity: A limit of restarts for this child alone, beside the one of its supervisor.
    """
    return Child(name, make, restart, shutdown, start_within, mailbox, backoff, intensity)


class Supervisor:
    """Children that are started in order, restarted by a rule, and stopped in reverse order."""

    def __init__(
        self,
        *children: Child[Any] | Supervisor,
        strategy: Strategy = one_for_one,
        intensity: Intensity = INTENSITY,
        name: str = "supervisor",
    ) -> None:
        _require_one_of(f"strategy of {name!r}", strategy, Strategy)
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
    """A supervisor that begins empty and starts children when asked: ``await ref.ask(Spawn(child(...)))``.

    Its children do not depend on each other: they start, restart and stop all at once. Beyond ``children_max`` it refuses.
    """

    def __init__(self, name: Name[Spawner], *, intensity: Intensity = INTENSITY, children_max: int = 100_000) -> None:
        super().__init__(name=name.value, intensity=intensity)
        _require(f"children_max of {name.value!r}", children_max, 0)
        self.address = name
        self.children_max = children_max


Route = Callable[[Sequence[Cell]], Cell]


def round_robin() -> Route:
    """A rule of routing: each member in turn."""
    turns = count()
    return lambda members: members[next(turns) % len(members)]


def least_loaded() -> Route:
    """A rule of routing: the first of those with the fewest messages, the one in hand included."""
    return lambda members: min(members, key=lambda cell: cell.queued + (cell.in_hand is not None))


class Pool(Supervisor):
    """So many actors of one kind behind one name: each message to that name goes to the one that ``route`` picks.

    Args:
        make: Makes a fresh object for every (re)start of every member.
        size: How many members; they are called ``name-0``, ``name-1`` and so on, and can be reached by these names, too.
        route: ``round_robin`` or ``least_loaded``.
        options: As for ``child``; they hold for every member.
    """

    def __init__(
        self,
        name: Name[A],
        make: Callable[[], Actor[A]],
        *,
        size: int,
        route: Callable[[], Route] = round_robin,
        intensity: Intensity = INTENSITY,
        **options: Any,
    ) -> None:
        _require(f"size of pool {name.value!r}", size, 1)
        members = [child(Name[A](f"{name.value}-{number}"), make, **options) for number in range(size)]
        super().__init__(*members, name=name.value, intensity=intensity)
        self.address: Name[Any] = name
        self.route = route
