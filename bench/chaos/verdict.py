"""
The verdict: every promise, asked of the database and of what the nodes noted. Nothing is taken from memory but what the driver
was answered and what was done to whom.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from bench.chaos import records
from bench.chaos.work import CUSTOMER_SLOTS, HOUSE_SLOTS, NARROW_SLOTS
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.pooling import USUAL
from etlplus.store.postgres.bridge import OWN_CONNECTIONS, Bridge, Db, open_bridge

if TYPE_CHECKING:
    from bench.chaos.story import Story

EVIDENCE_MAX = 20
SESSIONS_EACH = len(OWN_CONNECTIONS) + USUAL.connections_max + 1
"""Connections that each bridge may have; a node has two, one for its store and one for its effects."""
SESSIONS_GONE_WITHIN_S = 10.0
EARLY_S = 1.0
"""A run of a schedule may be made so much before its nominal time, by the clock of the database."""


@dataclass(slots=True)
class Verdict:
    """``complaints`` are the promises that were broken, ``suspects`` the runs that they are about."""

    complaints: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def refuse(self, complaint: str, runs: list[str] | tuple[str, ...] = ()) -> None:
        named = f" ({', '.join(runs[:3])}{', …' if len(runs) > 3 else ''})" if runs else ""
        self.complaints.append(complaint + named)
        self.suspects += runs[:EVIDENCE_MAX]


async def judge(story: Story, address: str | None = None) -> Verdict:
    """Ask for everything; of the story's own database, or of one that is at ``address``, such as a copy of it."""
    address = address or story.server.address
    verdict = Verdict()
    began_at = datetime.now(UTC)
    async with open_bridge(address, "chaos") as bridge, open_store(address) as store:
        court = _Court(story, verdict, bridge, began_at)
        for question in (
            court.of_ends, court.of_effects, court.of_histories, court.of_limits, court.of_schedules, court.of_sessions,
            court.of_nodes, court.of_attempts, court.count,
        ):  # fmt: skip
            await question()
        await _gather(story, verdict, store)
    return verdict


class _Court:
    def __init__(self, story: Story, verdict: Verdict, bridge: Bridge, began_at: datetime) -> None:
        self._began_at = began_at
        self._story = story
        self._verdict = verdict
        self._bridge = bridge

    async def _rows(self, query: str, *values: Any) -> list[Any]:
        async def unit(db: Db) -> list[Any]:
            return await db.fetch(query, *values)

        return await self._bridge.run(unit, atomic=False)

    async def _ids(self, query: str, *values: Any) -> list[str]:
        return [row[0] for row in await self._rows(query, *values)]

    async def _one(self, query: str) -> Any:
        return (await self._rows(query))[0][0]

    async def of_ends(self) -> None:
        """Every run that was accepted is there and has ended; none is there twice; the failed ones have their letters."""
        story, refuse, driver = self._story, self._verdict.refuse, self._story.driver
        if story.left:
            unfinished = await self._ids("SELECT id FROM etlplus.run_live ORDER BY id")
            refuse(f"{story.left} runs or schedules had not ended", unfinished)
        rows = await self._rows(records.RUNS)
        orders = {row["id"]: row["key"] for row in rows if (row["key"] or "").startswith("order-")}
        told = {run: f"order-{number}" for number, run in driver.accepted.items()}
        if not story.left and (lost := sorted((told.keys() | driver.shared) - {row["id"] for row in rows})):
            refuse(f"{len(lost)} accepted runs are lost", lost)
        if more := sorted(orders.keys() - told.keys()):
            refuse(f"{len(more)} runs were made that nobody was told of", more)
        if twice := await self._ids(records.SHARED_KEYS_TWICE):
            refuse(f"unique keys were held twice: {twice}")
        if unlettered := await self._ids(records.UNLETTERED):
            refuse(f"{len(unlettered)} failed runs and dead letters do not match", unlettered)
        states: dict[str, int] = defaultdict(int)
        for row in rows:
            states[row["state"]] += 1
            if row["state"] == "cancelled" and row["id"] not in driver.cancelled and row["job"] != "beat5":
                refuse("a run was cancelled though nobody asked for it", [row["id"]])
        self._verdict.figures |= {"runs": len(rows), **{f"runs_{state}": amount for state, amount in states.items()}}

    async def of_effects(self) -> None:
        """No effect was applied twice, and no run has succeeded without its effect."""
        if twice := await self._ids(records.TWICE):
            self._verdict.refuse(f"{len(twice)} effects were applied twice", twice)
        if without := await self._ids(records.WITHOUT_EFFECT):
            self._verdict.refuse(f"{len(without)} runs succeeded without their effect", without)
        published = {path.name for path in self._story.effects.iterdir()}
        done = await self._ids(
            "SELECT id FROM etlplus.run WHERE state = 'succeeded' AND doc ->> 'job_name' = 'command'"
        )
        if without := sorted(set(done) - published):
            self._verdict.refuse(f"{len(without)} commands succeeded without their effect", without)

    async def of_histories(self) -> None:
        """The versions of every run's events are 1, 2, 3 and so on, up to that of the run."""
        if gaps := await self._ids(records.GAPS):
            self._verdict.refuse(f"{len(gaps)} histories have gaps", gaps)

    async def of_limits(self) -> None:
        """By the database's own notes, no limit was ever exceeded, and no slot is held now."""
        for key, limit in (("'*'", HOUSE_SLOTS), ("queue", NARROW_SLOTS), ("limit_key", CUSTOMER_SLOTS)):
            for row in await self._rows(
                records.MOST_CARRIED.replace("{key}", f"carried.{key}" if key == "queue" else key)
            ):
                bounded = row["key"] not in ("", "default")
                if bounded and row["most"] > limit:
                    self._verdict.refuse(
                        f"{row['most']} runs of {row['key']} were carried at once, {limit} are allowed"
                    )
        if not self._story.left and (
            held := await self._ids("SELECT key FROM etlplus.limit_slot WHERE run_id IS NOT NULL")
        ):
            self._verdict.refuse(f"slots are held by nobody: {held}")

    async def of_schedules(self) -> None:
        """Each nominal time was decided once, and none before it had come."""
        for job in self._story.driver.schedules:
            every = timedelta(seconds=job.schedule.every_s)  # type: ignore[union-attr]
            next_at, end_at = job.schedule.start_at, job.schedule.end_at  # type: ignore[union-attr]
            for row in await self._rows(records.TICKS, job.id):
                if row["nominal_at"] != next_at or row["last_at"] != next_at + every * (row["amount"] - 1):
                    self._verdict.refuse(f"{job.name}: after {next_at} the ledger goes on with {tuple(row)}")
                next_at = row["last_at"] + every
            if not self._story.left and next_at <= end_at:
                self._verdict.refuse(f"{job.name}: {next_at} was never decided")
        if early := await self._ids(records.TOO_EARLY, timedelta(seconds=EARLY_S)):
            self._verdict.refuse(f"{len(early)} scheduled runs were made before their time", early)

    async def of_sessions(self) -> None:
        """There were no more connections than the nodes may have; now the nodes are gone, and so are their connections."""
        allowed = 2 * (len(self._story.nodes) + 1) * SESSIONS_EACH
        if self._story.sessions > allowed:
            self._verdict.refuse(f"{self._story.sessions} connections were open, {allowed} are allowed")
        sessions: list[Any] = []
        with trio.move_on_after(SESSIONS_GONE_WITHIN_S):
            while sessions := await self._rows(records.SESSIONS, self._began_at):  # noqa: ASYNC110 - PostgreSQL tells nobody
                await trio.sleep(0.1)
        if sessions:
            self._verdict.refuse(f"connections are left: {[tuple(row) for row in sessions]}")

    async def of_nodes(self) -> None:
        """No node ended by itself, none lost its lease that was not frozen, and no process is left."""
        story = self._story
        for complaint in [each for node in story.nodes for each in node.unexpected] + story.processes_left:
            self._verdict.refuse(complaint)
        if story.stuck:
            self._verdict.refuse(f"did not stop when asked to: {story.stuck}")
        for node in story.nodes:
            if not node.frozen and (lost := node.logged("lease_lost")):
                self._verdict.refuse(
                    f"{node.options.name} lived, and lost its lease at {[line['at'] for line in lost]}"
                )

    async def of_attempts(self) -> None:
        """No attempt was at work when the next one of its run began, unless its node was frozen or killed."""
        begun: dict[tuple[str, int], float] = {}
        ended: dict[tuple[str, int], float] = {}
        excused: set[tuple[str, int]] = set()
        for node in self._story.nodes:
            harmed = {pid for pid, _, _ in node.frozen}
            for noted in node.journal():
                attempt = noted.run_id, noted.attempt
                if noted.what in ("begun", "ended"):
                    (begun if noted.what == "begun" else ended)[attempt] = noted.at
                if noted.pid in harmed:
                    excused.add(attempt)
        overlaps = [
            (run, number)
            for (run, number), at in ended.items()
            if (run, number) not in excused and begun.get((run, number + 1), at) < at
        ]
        if overlaps:
            self._verdict.refuse(f"{len(overlaps)} attempts overlapped the next", [run for run, _ in overlaps])
        self._verdict.figures["attempts_noted"] = len(begun)

    async def count(self) -> None:
        """Figures."""
        story = self._story
        self._verdict.figures |= {
            "attempts": await self._one(records.ATTEMPTS),
            "stale_results": await self._one(records.STALE),
            "rescues": await self._one(records.RESCUED),
            "kills": sum(len(node.killed) for node in story.nodes),
            "starts": sum(node.starts for node in story.nodes),
            "server_stops": len(story.outages),
            "worst_rescue_s": await self._worst_rescue_s(),
            "seconds": story.seconds,
        }

    async def _worst_rescue_s(self) -> float:
        """From a kill to when the last run of that worker was taken back; kills around an outage do not count."""
        back = {row["worker_id"]: row["at"] for row in await self._rows(records.TAKEN_BACK)}
        worst_s = 0.0
        for node in self._story.nodes:
            last = {noted.pid: noted.worker_id for noted in node.journal() if noted.what == "worker"}
            for pid, killed_at in node.killed.items():
                at = back.get(last.get(pid, ""), 0.0)
                if at > killed_at and not any(a < at and b > killed_at for a, b in self._story.outages):
                    worst_s = max(worst_s, at - killed_at)
        return worst_s


async def _gather(story: Story, verdict: Verdict, store: Store) -> None:
    """The whole history of each run that is complained about."""
    noted = [each for node in story.nodes for each in node.journal()]
    for run_id in dict.fromkeys(verdict.suspects):
        verdict.evidence += ["", run_id]
        for each in [*await store.events(run_id), *await store.attempts(run_id)]:
            verdict.evidence.append(msgspec.json.encode(each).decode())
        verdict.evidence += [str(each) for each in noted if each.run_id == run_id]
