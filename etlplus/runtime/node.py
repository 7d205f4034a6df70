"""
A child under its supervisor, be it an actor or a supervisor: one life after the other. And the report of how a life failed.
"""

from __future__ import annotations

import msgspec
import trio

from .restarts import Record


class Crash(msgspec.Struct, frozen=True):
    """The report of how an actor or a supervisor failed.

    Attributes:
        path: Where it stands in the tree.
        error: What it raised, with a note that tells the rest in one line; ``Killed`` and ``Wedged`` if it did not stop.
        message_type: The message in hand, if any.
        queued: Messages that wait for the next life.
        life: The number of the life that ended, from 1.
        uptime_s: How long that life lasted.
    """

    path: str
    error: BaseException
    message_type: str = ""
    queued: int = 0
    life: int = 0
    uptime_s: float = 0.0


class Node:
    """What a supervisor keeps of a child, be it an actor or a supervisor.

    Attributes:
        alive: Whether a life of it is under way.
        error: What the last life crashed with; None while it is alive, or if it ended in order.
        killed: The last life was cancelled instead of coming to its end. (Actors only.)
        on_trial: Until it is ready for the first time, whoever starts it sees to its failures.
        deliberate: Its end was asked for; no rule of restart applies to it.
        stuck: It, or something below, does not even obey its cancellation. Nobody waits for it any more.
    """

    __slots__ = ("_end", "_settled", "alive", "deliberate", "error", "on_trial", "path", "record", "stuck")

    def __init__(self, path: str) -> None:
        self.path = path
        self.record = Record()
        self.alive = False
        self.error: Exception | None = None
        self.on_trial = True
        self.deliberate = False
        self.stuck = False
        self._settled: trio.Event | None = None
        self._end: trio.Event | None = None

    def begin(self, *, on_trial: bool) -> None:
        """Prepare the next life; ``live`` is started right after."""
        assert not self.alive, f"{self.path} must not live twice"
        self.alive, self.error, self.deliberate, self.on_trial = True, None, False, on_trial
        self.stuck = False
        self._settled = trio.Event()

    async def wait_settled(self) -> None:
        """Wait until this life is ready or has ended."""
        if self._settled is not None:
            await self._settled.wait()

    async def wait_ended(self, until: float = float("inf")) -> None:
        """Wait until this life has ended or is stuck, but not longer than ``until`` on Trio's clock."""
        if self.alive and not self.stuck:
            if self._end is None:
                self._end = trio.Event()
            with trio.move_on_at(until):
                await self._end.wait()

    def settle(self) -> None:
        """This life is ready, or it has ended: nobody need wait for that any more."""
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    def end(self) -> None:
        """This life has ended."""
        self.alive = False
        self._let_go_on()

    def get_stuck(self) -> None:
        """This life goes on, though it should have ended."""
        self.stuck = True
        self._let_go_on()

    def _let_go_on(self) -> None:
        self.settle()
        if self._end is not None:
            self._end.set()
            self._end = None
