"""
A child that is an actor: one identity, one life after the other, and what a supervisor may do to it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import trio

from .actor import Actor
from .asked import Asked
from .cell import Cell, Exit, Surroundings
from .errors import Killed, Wedged, told
from .groups import split_cancelled
from .incarnation import Life
from .node import Crash, Node
from .ref import Name, Ref
from .restarts import Budget
from .specs import Child
from .tree import ActorSnapshot

KILL_GRACE_S = 1.0


class Overdue:
    """An alarm: it is a while since a life came to its end, with what was piped cancelled, and it is not over yet."""

    __slots__ = ("_ring", "pending")

    def __init__(self, ring: Callable[[], None], surroundings: Surroundings) -> None:
        self.pending = True
        self._ring = ring
        surroundings.alarms.set(surroundings.now() + KILL_GRACE_S, self)

    def ring(self) -> None:
        self._ring()


class ActorNode(Node):
    """A child that is an actor.

    Args:
        find: The reference of a name, for the actor's context.
        report: Hears of each crash.
    """

    __slots__ = (
        "_actor", "_find", "_kill_to_tell", "_life", "_overdue", "_ready_at", "_report", "budget", "cell", "killed", "restart",
        "spec",
    )  # fmt: skip

    def __init__(
        self,
        spec: Child[Any],
        path: str,
        cell: Cell,
        find: Callable[[Name[Any]], Ref[Any]],
        report: Callable[[Crash], None],
    ) -> None:
        super().__init__(path)
        self.spec = spec
        self.restart = spec.restart
        self.cell = cell
        self.budget = Budget(spec.intensity) if spec.intensity is not None else None
        self._find = find
        self._report = report
        self._life: Life | None = None
        self._ready_at: float | None = None
        self._actor: Actor[Any] | None = None
        self.killed = False
        self._kill_to_tell = False
        self._overdue: Overdue | None = None

    def begin(self, *, on_trial: bool) -> None:
        super().begin(on_trial=on_trial)
        self.cell.begin_life()
        self._life, self._ready_at, self.killed, self._kill_to_tell = None, None, False, False

    def backoff_s(self) -> float:
        """How long to wait before the next life, after a crash."""
        return self.record.wait_s(self.spec.backoff, self.cell.surroundings.rng)

    async def live(self) -> None:
        """Run one life to its end; a crash is kept and reported, never raised."""
        try:
            async with trio.open_nursery() as nursery:
                self._life = Life(
                    self.cell,
                    nursery,
                    self._find,
                    ends_for_good=self.restart != "permanent",
                    shutdown_s=self.spec.shutdown_s,
                )
                try:
                    if not self.killed:
                        await self._life.run(self.spec.make, self.spec.start_within_s, self._ready)
                finally:
                    self._overdue = Overdue(self._look_for_stragglers, self.cell.surroundings)
                nursery.cancel_scope.cancel()
        except BaseException as error:  # noqa: BLE001 - split below: cancellation goes on, crashes are kept
            self._keep_crash(error)
        finally:
            try:
                self._tell_of_kill()
            finally:
                self._leave()

    def _leave(self) -> None:
        """Nothing of this life goes on: who waits for it hears so."""
        if self._overdue is not None:
            self._overdue.pending = False
        if self._life is not None:
            self._life.drop_in_hand(self.error)
            self._actor, self._life = self._life.actor, None
        self.end()

    def _ready(self) -> None:
        self._ready_at = trio.current_time()
        self.on_trial = False
        self.settle()

    def _keep_crash(self, error: BaseException) -> None:
        cancelled, crash = split_cancelled(error)
        if crash is not None and not isinstance(crash, Exception):
            raise crash  # an interrupt of the whole program is nobody's crash
        if crash is not None:
            self.error = crash
            healthy_s = 0.0 if self._ready_at is None else trio.current_time() - self._ready_at
            self.record.note(crash, healthy_s, self.spec.backoff)
            self.cell.status = "waiting"
            self._report(self._crash(crash))
        if cancelled is not None:
            self.killed = True
            raise cancelled

    def _crash(self, error: BaseException) -> Crash:
        cell = self.cell
        began_at = trio.current_time() if self._life is None else self._life.began_at
        crash = Crash(cell.path, error, self.in_hand(), cell.queued, cell.life, trio.current_time() - began_at)
        over = f"over {crash.message_type}" if crash.message_type else "over no message"
        error.add_note(f"{cell.path}: life {crash.life}, {over}, {crash.queued} queued, up {crash.uptime_s:.3f} s")
        return crash

    def in_hand(self) -> str:
        """The type of the message in hand, or an empty string."""
        item = self.cell.in_hand
        if item is None:
            return ""
        return type(item.message if isinstance(item, Asked) else item).__name__

    async def stop(self, *, for_good: bool) -> None:
        """Stop in order within the budget, then cancel; a life that obeys neither is marked wedged and left.

        For good, the mailbox takes no more and what is queued is handled; otherwise that is left to the next life.
        """
        self.deliberate = True
        if for_good:
            self.cell.refuse_new()
        stop_by = trio.current_time() + self.spec.shutdown_s
        if self.alive and not self.killed and self._life is not None and self._life.ready:
            self._life.stop_by = stop_by
            if for_good:
                self.cell.drain()
            else:
                self.cell.halt()
            await self.wait_ended(stop_by)
            if self.cell.status == "stopping":  # the last hook has a moment of its own
                await self.wait_ended(stop_by + KILL_GRACE_S)
        if self.alive:
            await self._kill()

    def cut(self) -> None:
        """Cancel this life at once, and for good; ``stop`` waits for its end."""
        self.deliberate = True
        if self.alive:
            self.killed, self._kill_to_tell = True, self._ready_at is not None
            if self._life is not None:
                self._life.cut()

    async def _kill(self) -> None:
        self.cut()
        await self.wait_ended(trio.current_time() + KILL_GRACE_S)
        if self.alive and not self.stuck:
            self.get_stuck()
            self._tell_of_wedge()

    def _look_for_stragglers(self) -> None:
        """The actor came to its end a while ago; if work beside its mailbox has not, no next life may begin."""
        if self.alive:
            self._tell_of_wedge()

    def _tell_of_wedge(self) -> None:
        if self.cell.status != "wedged":
            self.cell.status = "wedged"
            self._report(self._crash(Wedged(f"{self.path} ignores its cancellation; it stands at\n{self._stacks()}")))

    def _tell_of_kill(self) -> None:
        """An actor that was ready, was cut, and did not even crash over it: say so, unless it was found wedged before."""
        if self._life is not None and self._life.was_cut_short:
            self.killed = self._kill_to_tell = True
        if self._kill_to_tell and self.error is None and self.cell.status != "wedged":
            self._report(self._crash(Killed(f"{self.path} did not stop within its budget")))

    def _stacks(self) -> str:
        """Where the actor stands, and where each piped work of it does."""
        assert self._life is not None
        tasks = (self._life.task, *self._life.nursery.child_tasks)
        return "\n".join("".join(traceback.StackSummary.extract(each.iter_await_frames()).format()) for each in tasks)

    def close(self) -> None:
        """The identity ends for good; the last actor gets what is left in the mailbox."""
        if self.cell.exit is not None:
            return
        left = self.cell.close(self._why())
        if left and self._actor is not None:
            try:
                self._actor.undelivered(left)
            except Exception as error:  # noqa: BLE001 - reported as what it is, a crash
                self._report(self._crash(error))
        self._actor = None

    def _why(self) -> Exit:
        if self.error is not None:
            return Exit("crashed", told(self.error))
        return Exit("killed" if self.killed else "stopped")

    def snapshot(self) -> ActorSnapshot:
        """The actor as it is now."""
        cell = self.cell
        last = self.record.crashes[-1] if self.record.crashes else None
        return ActorSnapshot(
            path=self.path,
            status=cell.status,
            in_hand=self.in_hand(),
            queued=cell.queued,
            sent=cell.sent,
            handled=cell.handled,
            rejected=cell.rejected,
            dropped=cell.dropped,
            shed=cell.shed,
            undelivered=cell.undelivered,
            life=cell.life,
            last_crash="" if last is None else told(last),
            state=self._state(),
        )

    def _state(self) -> object:
        """What the actor shows of itself; if that fails, how: one actor's fault must not hide the tree."""
        try:
            return None if self.cell.shown is None else self.cell.shown()
        except Exception as error:  # noqa: BLE001 - shown in its place
            return f"snapshot raised {told(error)}"
