"""
Supervision: starts children in order, hears how they end, restarts by rule, gives up by rule, stops in reverse order.

A child's crash is caught in the child's own task and becomes an event; it never enters the supervisor's nursery, so its
siblings are not cancelled. Events lie in a queue that cannot fill. Giving up is a crash: it goes to the supervisor above.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

import trio

from etlplus.runtime.cell import STOP, Asked, Cell, Exit
from etlplus.runtime.errors import GaveUp, StartFailed
from etlplus.runtime.groups import split_cancelled
from etlplus.runtime.incarnation import Life
from etlplus.runtime.ref import Ref
from etlplus.runtime.specs import Child, Dynamic, Spawn, Supervisor, permanent, temporary
from etlplus.runtime.tree import ActorSnapshot, TreeSnapshot

KILL_GRACE_S = 1.0
HISTORY_MAX = 5


class Directory:
    """All identities of a system by name, and what its supervisors share."""

    def __init__(self, rng: Random, dead_letter: Callable[[str, Any, str], None], report: Callable[[str, Any], None]):
        self.cells: dict[str, Cell] = {}
        self.rng = rng
        self.dead_letter = dead_letter
        self.report = report

    def add(self, name: str, path: str, capacity: int) -> Cell:
        if name in self.cells:
            raise ValueError(f"two actors are called {name!r}")
        self.cells[name] = Cell(path, capacity=capacity, dead_letter=self.dead_letter)
        return self.cells[name]

    def find(self, name: str) -> Cell:
        return self.cells[name]


class ActorNode:
    """A child that is an actor: one identity, one life after the other."""

    def __init__(self, spec: Child[Any], path: str, directory: Directory) -> None:
        self.spec = spec
        self.path = f"{path}/{spec.name.value}"
        self.restart = spec.restart
        self.cell = directory.add(spec.name.value, self.path, spec.mailbox.capacity)
        self._directory = directory
        self._life: Life | None = None
        self.crashes: deque[BaseException] = deque(maxlen=HISTORY_MAX)
        self.in_a_row = 0
        self.ended = trio.Event()
        self.settled = trio.Event()
        self.error: BaseException | None = None
        self.deliberate = False
        self._ready_at = 0.0

    def wait_before_restart_s(self) -> float:
        """The backoff, after the crash that has just been counted."""
        return self.spec.backoff.wait_s(self.in_a_row, self._directory.rng)

    def begin(self) -> None:
        """Prepare the next life; its task is started right after."""
        self._forget_stop()
        self.deliberate = False
        self.ended, self.settled, self.error = trio.Event(), trio.Event(), None
        self._life = Life(self.cell, self._directory.find, shutdown_s=self.spec.shutdown_s)

    async def live(self) -> None:
        """Run the life to its end; a crash is kept, never raised."""
        assert self._life is not None
        try:
            with self._life.scope:
                await self._run_life(self._life)
        except BaseException as error:  # noqa: BLE001 - split below: cancellation goes on, crashes are kept
            self._keep_crash(error)
        finally:
            self.ended.set()
            self.settled.set()

    async def _run_life(self, life: Life) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._await_ready, life)
            await life.run(self.spec.make)
            nursery.cancel_scope.cancel()

    async def _await_ready(self, life: Life) -> None:
        with trio.move_on_after(self.spec.start_within_s):
            await life.ready.wait()
            self._ready_at = trio.current_time()
            self.settled.set()
            return
        raise StartFailed(f"{self.path} was not ready within {self.spec.start_within_s} s")

    def _keep_crash(self, error: BaseException) -> None:
        cancelled, crash = split_cancelled(error)
        if crash is not None and not isinstance(crash, Exception):
            raise crash  # an interrupt of the whole program is nobody's crash
        if crash is not None:
            self.error = crash
            if trio.current_time() - self._ready_at > self.spec.backoff.reset_after_s:
                self.in_a_row = 0
            self.in_a_row += 1
            self.crashes.append(crash)
            self.cell.status = "waiting"
            self._directory.report(self.path, crash)
        if cancelled is not None:
            raise cancelled

    async def stop(self) -> None:
        """Stop in order within the budget, then cancel; a life that obeys neither is marked wedged and left."""
        self.deliberate = True
        if self._life is not None and not self.ended.is_set():
            self.cell.post_system(STOP)
            with trio.move_on_after(self.spec.shutdown_s + KILL_GRACE_S):
                await self.ended.wait()
            if not self.ended.is_set():
                self._life.scope.cancel()
                with trio.move_on_after(KILL_GRACE_S):
                    await self.ended.wait()
            if not self.ended.is_set():
                self.cell.status = "wedged"

    def _forget_stop(self) -> None:
        """A stop request that came too late must not end the next life."""
        while STOP in self.cell.system:
            self.cell.system.remove(STOP)

    def close(self) -> None:
        """The identity ends for good."""
        if self.cell.exit is None:
            why = Exit("crashed", repr(self.error)) if self.error is not None else Exit("stopped")
            self.cell.close(why)

    def snapshot(self) -> ActorSnapshot:
        cell, counters = self.cell, self.cell.counters
        return ActorSnapshot(
            path=self.path,
            status=cell.status,
            queued=len(cell),
            sent=counters.sent,
            handled=counters.handled,
            rejected=counters.rejected,
            shed=counters.shed,
            undelivered=counters.undelivered,
            restarts=counters.restarts,
        )


class SupervisorNode:
    """A supervisor at work; itself a child of the one above."""

    restart = permanent

    def __init__(self, spec: Supervisor, path: str, directory: Directory) -> None:
        self.spec = spec
        self.path = f"{path}/{spec.name}" if path else spec.name
        self._directory = directory
        self.children: list[ActorNode | SupervisorNode] = [
            node_of(each, self.path, directory) for each in spec.children
        ]
        self.cell = directory.add(spec.address.value, self.path, 64) if isinstance(spec, Dynamic) else None
        self.crashes: deque[BaseException] = deque(maxlen=HISTORY_MAX)
        self.ended = trio.Event()
        self.settled = trio.Event()
        self.error: BaseException | None = None
        self.restarts = 0
        self.deliberate = False
        self.ended.set()  # until it begins there is nothing to wait for
        self._events: deque[tuple[str, Any]] = deque()
        self._wake = trio.Event()
        self._stopping = False
        self._restarted_at: deque[float] = deque()

    def wait_before_restart_s(self) -> float:
        return 0.0

    def begin(self) -> None:
        self.ended, self.settled, self.error = trio.Event(), trio.Event(), None
        self._events.clear()
        self._stopping = self.deliberate = False
        self._restarted_at.clear()

    async def live(self) -> None:
        """Run until stopped; giving up is kept as this child's crash."""
        try:
            await self._supervise()
        except BaseException as error:  # noqa: BLE001 - split below
            cancelled, crash = split_cancelled(error)
            if crash is not None and not isinstance(crash, Exception):
                raise crash from None
            self.error = crash
            if self.error is not None:
                self.crashes.append(self.error)
            if cancelled is not None:
                raise cancelled from None
        finally:
            self.ended.set()
            self.settled.set()

    async def stop(self) -> None:
        """Stop all children in reverse order; their budgets are the bound."""
        self._stopping = self.deliberate = True
        self._post("stop", None)
        await self.ended.wait()

    def close(self) -> None:
        for each in self.children:
            each.close()
        if self.cell is not None and self.cell.exit is None:
            self.cell.close(Exit("stopped"))

    def snapshot(self) -> TreeSnapshot:
        return TreeSnapshot(
            path=self.path,
            strategy=self.spec.strategy,
            restarts=self.restarts,
            actors=[each.snapshot() for each in self.children if isinstance(each, ActorNode)],
            supervisors=[each.snapshot() for each in self.children if isinstance(each, SupervisorNode)],
        )

    async def _supervise(self) -> None:
        async with trio.open_nursery() as self._nursery:
            try:
                await self._start(list(self.children))
                if self.cell is not None:
                    self._nursery.start_soon(self._take_spawns, self.cell)
                self.settled.set()
                while not self._stopping:
                    await self._next_event()
            finally:
                with trio.CancelScope(shield=True):
                    await self._stop(list(self.children))
            self._nursery.cancel_scope.cancel()

    async def _start(self, nodes: list[ActorNode | SupervisorNode]) -> None:
        """Start in order, each once the one before is ready."""
        for node in nodes:
            if self._stopping:
                return
            node.begin()
            self._nursery.start_soon(self._watch, node)
            await node.settled.wait()
            if node.error is not None:
                raise StartFailed(f"{node.path} did not start") from node.error

    async def _watch(self, node: ActorNode | SupervisorNode) -> None:
        ended = node.ended
        await node.live()
        if ended is node.ended:
            self._post("ended", node)

    async def _stop(self, nodes: list[ActorNode | SupervisorNode]) -> None:
        for node in reversed(nodes):
            await node.stop()

    def _post(self, kind: str, value: Any) -> None:
        self._events.append((kind, value))
        self._wake.set()

    async def _next_event(self) -> None:
        while not self._events:
            self._wake = trio.Event()
            await self._wake.wait()
        kind, value = self._events.popleft()
        if kind == "ended":
            await self._ended(value)
        elif kind == "due":
            await self._restart(value)
        elif kind == "spawn":
            await self._spawn(value)

    async def _ended(self, node: ActorNode | SupervisorNode) -> None:
        """A child ended while nobody was stopping it: leave it, restart it, or give up."""
        if node not in self.children or not node.ended.is_set() or node.deliberate:
            return  # it was stopped on purpose, by the restart of a sibling that will start it again
        crashed = node.error is not None
        if node.restart == temporary or (not crashed and node.restart != permanent):
            self._let_go(node)
            return
        self._count_restart(node)
        wait_s = node.wait_before_restart_s() if crashed else 0.0
        self._nursery.start_soon(self._restart_later, node, wait_s)

    def _let_go(self, node: ActorNode | SupervisorNode) -> None:
        """The child has ended for good; a dynamic supervisor's name is free again."""
        node.close()
        self.children.remove(node)
        if self.cell is not None and isinstance(node, ActorNode):
            del self._directory.cells[node.spec.name.value]

    def _count_restart(self, node: ActorNode | SupervisorNode) -> None:
        now = trio.current_time()
        self._restarted_at.append(now)
        while self._restarted_at[0] < now - self.spec.intensity.within_s:
            self._restarted_at.popleft()
        if len(self._restarted_at) > self.spec.intensity.restarts:
            story = [error for error in node.crashes if isinstance(error, Exception)]
            what = f"{node.path} was restarted more than {self.spec.intensity.restarts} times"
            message = f"{what} in {self.spec.intensity.within_s} s"
            raise GaveUp(message) from (ExceptionGroup("its last crashes", story) if story else None)

    async def _restart_later(self, node: ActorNode | SupervisorNode, wait_s: float) -> None:
        await trio.sleep(wait_s)
        self._post("due", node)

    async def _restart(self, node: ActorNode | SupervisorNode) -> None:
        """Restart a child, and by the strategy its siblings; those are stopped first, in reverse order."""
        if not node.ended.is_set():
            return  # a sibling's restart has restarted it already
        affected = self._affected(node)
        await self._stop([each for each in affected if each is not node])
        if stuck := [each.path for each in affected if not each.ended.is_set()]:
            raise GaveUp(f"{', '.join(stuck)} did not stop, and must not live twice")
        self.restarts += 1
        for each in affected:
            if isinstance(each, ActorNode):
                each.cell.counters.restarts += 1
            each.begin()
            self._nursery.start_soon(self._watch, each)
            await each.settled.wait()
            if each.error is not None:
                return  # its end is an event of its own

    def _affected(self, node: ActorNode | SupervisorNode) -> list[ActorNode | SupervisorNode]:
        if self.spec.strategy == "one_for_one":
            return [node]
        if self.spec.strategy == "one_for_all":
            return list(self.children)
        return self.children[self.children.index(node) :]

    async def _take_spawns(self, cell: Cell) -> None:
        """The mailbox of a dynamic supervisor."""
        cell.status = "running"
        async for item in cell.receive:
            if isinstance(item, Asked) and isinstance(item.message, Spawn):
                self._post("spawn", item)
                cell.counters.handled += 1

    async def _spawn(self, asked: Asked) -> None:
        try:
            node = ActorNode(asked.message.spec, self.path, self._directory)
        except ValueError as error:
            asked.answer(error=error)
            return
        self.children.append(node)
        try:
            await self._start([node])
        except StartFailed as error:
            self._let_go(node)
            asked.answer(error=error)
            return
        asked.answer(Ref[Any](node.cell))


def node_of(spec: Child[Any] | Supervisor, path: str, directory: Directory) -> ActorNode | SupervisorNode:
    """The node of a spec; identities exist from here on."""
    if isinstance(spec, Supervisor):
        return SupervisorNode(spec, path, directory)
    return ActorNode(spec, path, directory)
