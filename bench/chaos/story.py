"""
One story from a seed: the server, the nodes and the driver are started, the plan is carried out, everything comes to an end,
and what is left is handed to the verdict.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import trio

from bench.chaos import records
from bench.chaos.driver import Driver
from bench.chaos.node import NodeOptions
from bench.chaos.nodes import STOP_WITHIN_S, Node
from bench.chaos.plan import Fault, Plan
from bench.chaos.verdict import Verdict, judge
from bench.chaos.work import SCHEMA
from etlplus.errors import StoreUnavailable
from etlplus.store.opening import open_store
from etlplus.store.postgres.bridge import Bridge, open_bridge
from etlplus.testing.servers import PostgresServer, restartable_postgres

LOOK_S = 0.25
END_WITHIN_S = 900.0
KEPT = Path("var") / "chaos"


@dataclass(slots=True)
class Story:
    """What was done, and who was there to see it. ``left`` is what had not ended in the end, and ``sessions`` how many there were
    on the server then. ``outages`` are the times, by the machine's clock, without a server."""

    plan: Plan
    folder: Path
    server: PostgresServer
    nodes: list[Node]
    outages: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    left: int = 0
    sessions: int = 0
    processes_left: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    driver: Driver = field(init=False)
    _server_held: trio.Lock = field(default_factory=trio.Lock)

    @property
    def effects(self) -> Path:
        return self.folder / "effects"

    async def tell(self) -> None:
        """From the first start to the last stop."""
        began = time.monotonic()
        async with open_store(self.server.address) as store, open_bridge(self.server.address, "chaos") as bridge:
            for script in (SCHEMA, records.WATCH):
                await bridge.run(lambda db, script=script: db.execute(script))
            self.driver = Driver(store, self.plan.scale, self.plan.seed, self.effects)
            await self.driver.furnish()
            try:
                async with trio.open_nursery() as nursery:
                    for node in self.nodes:
                        nursery.start_soon(node.keep)
                    await self.driver.begin()
                    await self._trouble(bridge)
                    await self._end(bridge)
                    await self._leave(nursery)
            finally:
                for node in self.nodes:
                    node.end()
        self.seconds = time.monotonic() - began
        self.processes_left = _processes_of(self.folder)

    async def _trouble(self, bridge: Bridge) -> None:
        async with trio.open_nursery() as nursery:
            began = trio.current_time()
            for fault in self.plan.faults:
                nursery.start_soon(self._harm, fault, began, bridge)
            nursery.start_soon(self.driver.ask)

    async def _harm(self, fault: Fault, began: float, bridge: Bridge) -> None:
        await trio.sleep_until(began + fault.at_s)
        match fault.harm:
            case "kill":
                await self.nodes[fault.node].kill(fault.lasts_s)
            case "freeze":
                await self.nodes[fault.node].freeze(fault.lasts_s)
            case "silence":
                await self._silence(bridge, fault.lasts_s)
            case "restart_immediate":
                await self._take_away(signal.SIGQUIT, 0)
            case "restart_fast" | "away":
                await self._take_away(signal.SIGINT, fault.lasts_s)

    async def _take_away(self, how: signal.Signals, seconds: float) -> None:
        async with self._server_held:
            began = time.time()
            await trio.to_thread.run_sync(self.server.stop, how)
            try:
                await trio.sleep(seconds)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self.server.start)
            self.outages.append((began, time.time()))

    async def _silence(self, bridge: Bridge, seconds: float) -> None:
        """Whoever listens for news of other nodes is cut off, again and again."""
        with trio.move_on_after(seconds):
            while True:
                with suppress(StoreUnavailable):
                    await bridge.run(lambda db: db.execute(records.SILENCE), atomic=False)
                await trio.sleep(LOOK_S)

    async def _end(self, bridge: Bridge) -> None:
        """Wait until no run is unfinished and no schedule has anything left to do."""
        with trio.move_on_after(END_WITHIN_S):
            while True:
                self.left = await bridge.run(_left, atomic=False)
                self.sessions = await bridge.run(lambda db: db.fetchval(records.SESSIONS_NOW), atomic=False)
                if not self.left:
                    return
                await trio.sleep(LOOK_S)

    async def _leave(self, nursery: trio.Nursery) -> None:
        with trio.move_on_after(STOP_WITHIN_S):
            for node in self.nodes:
                await node.leave()
            while nursery.child_tasks:  # noqa: ASYNC110 - a nursery tells nobody
                await trio.sleep(LOOK_S)
        if nursery.child_tasks:
            self.stuck = [node.options.name for node in self.nodes if node.lives]
            for node in self.nodes:
                node.end()


async def _left(db: object) -> int:
    unfinished: int = await db.fetchval(records.UNFINISHED)  # type: ignore[attr-defined]
    return unfinished + await db.fetchval(records.SCHEDULES_LEFT)  # type: ignore[attr-defined]


def _processes_of(folder: Path) -> list[str]:
    """Processes whose command names the folder, other than the server's."""
    found: list[str] = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        if str(folder) in words and process.pid != psutil.Process().pid:
            found.append(f"{process.pid} {words}")
    return found


@contextmanager
def told(plan: Plan) -> Generator[Story]:
    """A story that was played to its end; its server and its folder are there as long as the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        with restartable_postgres(max_connections="100") as server:
            story = Story(
                plan, folder, server, [_node(plan, number, folder, server) for number in range(plan.scale.nodes)]
            )
            story.effects.mkdir()
            trio.run(story.tell)
            yield story
    finally:
        shutil.rmtree(folder)


def _node(plan: Plan, number: int, folder: Path, server: PostgresServer) -> Node:
    scale, shift_s = plan.scale, plan.shifts_s[number]
    return Node(
        NodeOptions(
            name=f"n{number}", folder=str(folder), url=server.address, shift_s=shift_s, beat_s=scale.beat_s,
            expiry_s=scale.expiry_s,
        )
    )  # fmt: skip


def play(plan: Plan) -> dict[str, float]:
    """Play a plan to its end, and judge it.

    Returns:
        Figures: runs, attempts, kills, and how long things took.

    Raises:
        AssertionError: a promise was broken. It names the seed and every complaint; the histories of the runs concerned, the
            logs and the plan are kept in a folder that it names.
    """
    with told(plan) as story:
        verdict = trio.run(judge, story)
        if verdict.complaints:
            raise AssertionError(_indictment(story, verdict))
        return verdict.figures


def _indictment(story: Story, verdict: Verdict) -> str:
    """What went wrong; the evidence is moved to where it stays."""
    kept = KEPT / f"seed-{story.plan.seed}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(story.folder, kept, ignore=shutil.ignore_patterns("effects"))
    (kept / "evidence.txt").write_text("\n".join([str(story.plan), *verdict.complaints, *verdict.evidence]) + "\n")
    return f"seed {story.plan.seed}: " + "; ".join(verdict.complaints) + f"\nevidence: {kept.absolute()}"
