"""
Supervision: starts children in order, hears how they end, restarts by rule, gives up by rule, stops in reverse order.

A child's crash is caught in the child's own task, which then asks the supervisor, by an ordinary call, what is to be done; it
never enters the supervisor's nursery, so its siblings are not cancelled, and there is no mailbox that it could find full.
Starts and restarts are duties beside that: a request to stop cancels them all, and then the children stop in order. Giving up
is a crash: it goes to the supervisor above.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from contextvars import copy_context
from typing import Any

import trio

from .actor_node import ActorNode
from .asked import Asked
from .cell import Cell, Exit
from .directory import Directory
from .errors import ActorStopped, GaveUp, Refuse, StartFailed, Unhandled
from .groups import split_cancelled
from .node import Crash, Node
from .ref import Ref
from .restarts import Budget
from .specs import Child, Dynamic, Mailbox, Pool, Spawn, Supervisor, permanent, temporary
from .tree import TreeSnapshot

SPAWNS_MAX = 1024
NOBODY_WAITS = float("-inf")
"""The deadline of a spawn that was told, not asked."""


class SupervisorNode(Node):
    """A supervisor at work; itself a child of the one above."""

    restart = permanent

    def __init__(self, spec: Supervisor, path: str, directory: Directory) -> None:
        super().__init__(f"{path}/{spec.name}" if path else spec.name)
        self.spec = spec
        self.children: list[ActorNode | SupervisorNode] = []
        self.restarts = 0
        self.budget: Budget | None = None  # a supervisor has no limit of its own beside that of the one above
        self._window = Budget(spec.intensity)
        self._directory = directory
        self._work = trio.CancelScope()
        self._context = copy_context()
        self._turn = nullcontext() if spec.strategy == "one_for_one" else trio.Lock()
        self._failure: Exception | None = None
        self._for_good = False
        for each in spec.children:
            self.children.append(node_of(each, self.path, directory))
        self._spawner = (
            directory.add(spec.address, self.path, Mailbox(SPAWNS_MAX)) if isinstance(spec, Dynamic) else None
        )
        if isinstance(spec, Pool):
            cells = [each.cell for each in self.children if isinstance(each, ActorNode)]
            directory.add_pool(spec.address, self.path, cells, spec.route())

    def begin(self, *, on_trial: bool) -> None:
        super().begin(on_trial=on_trial)
        self._work, self._failure = trio.CancelScope(), None
        self._window = Budget(self.spec.intensity)

    def backoff_s(self) -> float:
        """How long to wait before the next life: not at all, since its children have waited already."""
        return 0.0

    async def live(self) -> None:
        """Run until stopped; giving up, and a start that failed, are kept as this child's crash."""
        try:
            await self._supervise()
        except BaseException as error:  # noqa: BLE001 - split below: cancellation goes on, crashes are kept
            cancelled, crash = split_cancelled(error)
            if crash is not None and not isinstance(crash, Exception):
                raise crash from crash.__cause__
            if crash is not None:
                self.error = crash
                self.record.keep(crash)
                self._directory.report(Crash(self.path, crash))
            if cancelled is not None:
                raise cancelled from None
        finally:
            self.end()

    async def stop(self, *, for_good: bool) -> None:
        """Stop all children in reverse order; their budgets are the bound."""
        self.deliberate = True
        self._for_good = for_good
        if self._spawner is not None and for_good:
            self._spawner.refuse_new()
        self._work.cancel()
        await self.wait_ended()

    def cut(self) -> None:
        """Cancel every life below at once, and for good; ``stop`` waits for their end."""
        self.deliberate = True
        self._work.cancel()
        for each in self.children:
            each.cut()

    def close(self) -> None:
        """All identities below end for good, even if the program is interrupted over one of them."""
        with ExitStack() as closing:
            for close in (self._close_spawner, *[each.close for each in reversed(self.children)]):
                closing.callback(close)  # called in reverse: children first, in start order

    def _close_spawner(self) -> None:
        if self._spawner is not None and self._spawner.exit is None:
            self._spawner.close(Exit("stopped"))

    def snapshot(self) -> TreeSnapshot:
        """The tree below as it is now."""
        return TreeSnapshot(
            path=self.path,
            strategy=self.spec.strategy,
            restarts=self.restarts,
            restarts_left=max(self._window.left(trio.current_time()), 0),
            actors=[each.snapshot() for each in self.children if isinstance(each, ActorNode)],
            supervisors=[each.snapshot() for each in self.children if isinstance(each, SupervisorNode)],
        )

    async def _supervise(self) -> None:
        async with trio.open_nursery() as self._nursery:
            try:
                with self._work:
                    async with trio.open_nursery() as self._duties:
                        async with self._turn:  # who crashes meanwhile is brought back once all have been started
                            await self._start(self.children, on_trial=True)
                        self.on_trial = False
                        self.settle()
                        await self._take_spawns()
            finally:
                self._work.cancel()  # from here on nobody is brought back
                with trio.CancelScope(shield=True):
                    await self._stop_children(self.children)
                    self._clear_up()
            self._nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    def _clear_up(self) -> None:
        """All have been told to stop: children that never got ready are forgotten, those that live on are not waited for."""
        if self._spawner is not None:
            for each in [each for each in self.children if each.on_trial and not each.alive]:
                self._let_go(each)
        if any(each.alive for each in self.children):
            self.get_stuck()

    async def _start(self, nodes: Sequence[ActorNode | SupervisorNode], *, on_trial: bool) -> None:
        """Start in order, each once the one before is ready; end early if one fails.

        Raises:
            StartFailed: one on trial failed. The failure of any other is told by its end.
        """
        for node in list(nodes):
            node.begin(on_trial=on_trial)
            self._context.run(self._nursery.start_soon, self._keep, node)  # a life inherits nothing from the one before
            await node.wait_settled()
            if node.error is not None and node.on_trial:
                raise StartFailed(f"{node.path} did not start") from node.error
            if node.error is not None and not on_trial:
                return  # its own restart will bring up those after it

    async def _keep(self, node: ActorNode | SupervisorNode) -> None:
        """The task of a child, for one life of it."""
        await node.live()
        over = self._work.cancel_called or trio.current_effective_deadline() == float("-inf")
        if not (over or node.deliberate or node.on_trial):
            self._decide(node)

    def _decide(self, node: ActorNode | SupervisorNode) -> None:
        """A child ended while nobody wanted it to: leave it, restart it, or give up."""
        crashed = node.error is not None
        if node.restart == temporary or (not crashed and node.restart != permanent):
            self._let_go(node)
            return
        now = trio.current_time()
        for budget in (node.budget, self._window):
            if budget is not None and not budget.spend(now):
                self._give_up(GaveUp(f"{node.path} was restarted {budget}"), node.record.story())
                return
        self._duties.start_soon(self._bring_back, node, node.backoff_s() if crashed else 0.0)

    def _give_up(self, failure: GaveUp, story: BaseException | None = None) -> None:
        failure.__cause__ = story
        self._failure = failure
        self._work.cancel()

    def _let_go(self, node: ActorNode | SupervisorNode) -> None:
        """The child has ended for good; a dynamic supervisor's name is free again."""
        node.close()
        self.children.remove(node)
        if self._spawner is not None and isinstance(node, ActorNode):
            self._directory.remove(node.spec.name)

    async def _bring_back(self, node: ActorNode | SupervisorNode, wait_s: float) -> None:
        """Restart a child, and by the strategy its siblings; those are stopped first, in reverse order."""
        await trio.sleep(wait_s)
        async with self._turn:
            if node.alive or node not in self.children or self._is_preceded(node):
                return  # the restart of a sibling has started it already, or will do so
            group = self._group_of(node)
            await self._stop_children([each for each in group if each is not node], for_good=False)
            group = [each for each in group if each in self.children]  # one may have ended for good of itself meanwhile
            if stuck := [each.path for each in group if each.alive]:
                self._give_up(GaveUp(f"{', '.join(stuck)} did not stop, and must not live twice"))
                return
            for each in group:
                if each.restart == temporary:
                    self._let_go(each)
            self.restarts += 1
            await self._start([each for each in group if each.restart != temporary], on_trial=False)

    def _is_preceded(self, node: ActorNode | SupervisorNode) -> bool:
        """Whether a child on which this one depends is down, too: its own restart will bring up those after it."""
        earlier = self.children[: self.children.index(node)]
        return self.spec.strategy == "rest_for_one" and any(not each.alive for each in earlier)

    def _group_of(self, node: ActorNode | SupervisorNode) -> list[ActorNode | SupervisorNode]:
        if self.spec.strategy == "one_for_one":
            return [node]
        if self.spec.strategy == "one_for_all":
            return list(self.children)
        return self.children[self.children.index(node) :]

    async def _stop_children(
        self, nodes: Sequence[ActorNode | SupervisorNode], *, for_good: bool | None = None
    ) -> None:
        """Stop in reverse order; children of a dynamic supervisor, who do not know each other, all at once."""
        finally_ = self._for_good if for_good is None else for_good
        if self._spawner is None:
            for node in reversed(list(nodes)):
                await _stop(node, finally_)
        else:
            async with trio.open_nursery() as nursery:
                for node in list(nodes):
                    nursery.start_soon(_stop, node, finally_)

    async def _take_spawns(self) -> None:
        """Serve the mailbox of a dynamic supervisor; others just wait to be stopped."""
        if self._spawner is None:
            await trio.sleep_forever()
            return
        self._spawner.status = "running"
        async for item in self._spawner.receive:
            asked = item if isinstance(item, Asked) else Asked(item, NOBODY_WAITS, self.path)
            if not asked.pending:
                self._spawner.shed += 1
                continue
            self._spawner.handled += 1
            if not isinstance(asked.message, Spawn):
                self._refuse_spawn(asked, Unhandled(self.path, asked.message))
            elif not isinstance(asked.message.spec, Child):  # pyright: ignore[reportUnnecessaryIsInstance] - not everybody has a type checker
                what = type(asked.message.spec).__name__
                self._refuse_spawn(asked, TypeError(f"{self.path} starts what child(...) makes, not a {what}"))
            else:
                self._duties.start_soon(self._spawn, asked, self._spawner)

    async def _spawn(self, asked: Asked, spawner: Cell) -> None:
        """Start one more child, and tell the asker how it went."""
        spec: Child[Any] = asked.message.spec
        assert isinstance(self.spec, Dynamic)
        if len(self.children) >= self.spec.children_max:
            self._refuse_spawn(asked, Refuse(f"{self.path} has {len(self.children)} children, which is its limit"))
            return
        try:
            node = self._directory.add_actor(spec, self.path)
        except ValueError as taken:
            self._refuse_spawn(asked, taken)
            return
        self.children.append(node)
        try:
            await self._start([node], on_trial=True)
        except StartFailed as failure:
            self._let_go(node)
            self._refuse_spawn(asked, failure)
        except trio.Cancelled:
            asked.fail(ActorStopped(spawner.path, begun=True))
            raise
        else:
            asked.answer(Ref[Any](node.cell))

    def _refuse_spawn(self, asked: Asked, why: Exception) -> None:
        """Tell the asker why not; where nobody asked, or has waited that long, it is a dead letter."""
        if asked.pending and asked.deadline != NOBODY_WAITS:
            asked.fail(why)
        else:
            self._directory.surroundings.dead_letters.bury(self.path, asked, "refused")


async def _stop(node: ActorNode | SupervisorNode, for_good: bool) -> None:
    await node.stop(for_good=for_good or node.restart == temporary)
    if for_good and not node.alive:
        node.close()  # who still waits for it, and stops later, must not wait in vain


def node_of(spec: Child[Any] | Supervisor, path: str, directory: Directory) -> ActorNode | SupervisorNode:
    """The node of a spec; identities exist from here on."""
    if isinstance(spec, Supervisor):
        return SupervisorNode(spec, path, directory)
    return directory.add_actor(spec, path)
