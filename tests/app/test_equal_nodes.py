"""Equal nodes on one PostgreSQL: what one does the others know at once, and when they cannot be told they find it anyway."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import trio
from nodes_kit import OpenNodes, ended, next_call, until

from etlplus.jobs.explaining import SlotsTaken
from etlplus.jobs.model import JobDraft
from etlplus.jobs.queues import HOUSE, LimitDraft
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.service.local import Service
from etlplus.store.postgres.bridge import open_bridge

CUT_LISTENERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'etlplus-listener' AND datname = current_database()
"""


@pytest.mark.usefixtures("nobody_looks")
async def test_a_run_made_on_one_node_starts_on_another_at_once(open_nodes: OpenNodes) -> None:
    """The node where it is made cannot carry it; the other one hears of it and can."""
    async with open_nodes() as nodes:
        await nodes.node("able")
        clerk = await nodes.node("clerk", carries=False)
        for _ in range(3):
            await clerk.runs.start("work")
            assert await next_call(nodes) == "able"


@pytest.mark.usefixtures("nobody_looks")
async def test_a_node_that_was_alone_rings_for_one_that_joins(open_nodes: OpenNodes) -> None:
    """It learns of the other at once, and not with its next beat, which is a minute away."""
    async with open_nodes() as nodes:
        clerk = await nodes.node("clerk", carries=False)
        store, worker, now = clerk.house.store, clerk.house.standing.worker, clerk.house.now()
        assert not (await store.beat(worker.id, now=now, expires_at=now + timedelta(minutes=5))).company
        await nodes.node("able")
        await until(lambda: not store._alone)  # type: ignore[attr-defined]  # it is one on PostgreSQL
        await clerk.runs.start("work")
        assert await next_call(nodes) == "able"


@pytest.mark.usefixtures("nobody_looks")
async def test_a_slot_that_one_node_frees_another_takes_at_once(open_nodes: OpenNodes) -> None:
    """Of two runs under a limit of one, that of the second node starts when that of the first has ended."""
    async with open_nodes() as nodes:
        first, second = await nodes.node("first", waits=True), await nodes.node("second", job="other")
        await first.limits.save(LimitDraft(name=HOUSE, slots=1))
        await first.runs.start("work")
        assert await next_call(nodes) == "first"
        run = await second.runs.start("other")
        assert any(isinstance(fact, SlotsTaken) for fact in (await second.runs.why(run.id)).facts)
        nodes.go_on.set()
        assert await next_call(nodes) == "second"


@pytest.mark.usefixtures("nobody_looks")
async def test_a_queue_that_is_resumed_on_one_node_goes_on_at_another(open_nodes: OpenNodes) -> None:
    """What was enqueued while it was paused starts there."""
    async with open_nodes() as nodes:
        await nodes.node("able")
        clerk = await nodes.node("clerk", carries=False)
        await clerk.queues.pause("default")
        await clerk.runs.start("work")
        await clerk.queues.resume("default")
        assert await next_call(nodes) == "able"


@pytest.mark.usefixtures("nobody_looks")
async def test_a_schedule_that_is_edited_on_one_node_ticks_at_another(open_nodes: OpenNodes) -> None:
    """Everybody sleeps for a minute; a time that is earlier than that is kept all the same, whoever makes the run."""
    async with open_nodes() as nodes:
        await nodes.node("able")
        clerk = await nodes.node("clerk", carries=False)
        job = await clerk.jobs.get("work")
        draft = JobDraft(name="work", python="work", schedule=IntervalSchedule(every_s=1))
        await clerk.jobs.replace(job.id, draft, expected_version=job.version)
        assert await next_call(nodes) == "able"


@pytest.mark.usefixtures("nobody_looks")
async def test_a_run_is_cancelled_on_another_node_at_once(open_nodes: OpenNodes) -> None:
    """Not with the next beat, which is a minute away."""
    async with open_nodes() as nodes:
        await nodes.node("able", waits=True)
        clerk = await nodes.node("clerk", carries=False)
        run = await clerk.runs.start("work")
        assert await next_call(nodes) == "able"
        assert (await clerk.runs.cancel(run.id)).cancel_requested
        await ended(clerk, run.id, "cancelled")


@pytest.mark.usefixtures("nobody_looks")
async def test_what_a_leaving_node_gives_back_another_takes_at_once(open_nodes: OpenNodes) -> None:
    """The attempt does not count."""
    async with open_nodes() as nodes:
        leave = trio.Event()

        async def stay(task_status: trio.TaskStatus[Service]) -> None:
            async with nodes.opened("leaving", waits=True, drain_s=0) as leaving:
                task_status.started(leaving)
                await leave.wait()

        async with trio.open_nursery() as nursery:
            leaving = await nursery.start(stay)
            run = await leaving.runs.start("work")
            assert await next_call(nodes) == "leaving"
            async with nodes.opened("staying") as staying:
                leave.set()
                assert await next_call(nodes) == "staying"
                assert (await ended(staying, run.id, "succeeded")).attempt == 2


@pytest.mark.usefixtures("nobody_looks")
async def test_a_node_whose_listener_was_cut_hears_again(open_nodes: OpenNodes) -> None:
    """It notices, says so, listens on another connection, and is woken as before."""
    async with open_nodes() as nodes:
        able = await nodes.node("able")
        clerk = await nodes.node("clerk", carries=False)
        async with open_bridge(nodes.address, "etlplus") as outside:
            await outside.run(lambda db: db.execute(CUT_LISTENERS))
        await until(lambda: able.house.earshot.silences > 0 and able.house.earshot.arrive is True)
        await clerk.runs.start("work")
        assert await next_call(nodes) == "able"


async def test_a_node_that_hears_nothing_finds_work_by_itself(
    open_nodes: OpenNodes, new_database: Callable[[], str]
) -> None:
    """It listens in the wrong database: its health says so, and runs start a little later."""
    async with open_nodes() as nodes:
        able = await nodes.node("able", listen_url=new_database())
        clerk = await nodes.node("clerk", carries=False)
        assert await wakeups(able) == ("warn", "silent")
        assert await wakeups(clerk) == ("pass", "ok")
        await clerk.runs.start("work")
        assert await next_call(nodes) == "able"
        assert b"etlplus_bells_arrive 0.0" in await able.system.metrics()
        assert b"etlplus_bells_arrive 1.0" in await clerk.system.metrics()


async def wakeups(service: Service) -> tuple[str, str]:
    (check,) = [each for each in (await service.system.health()).checks if each.name == "wakeups"]
    return check.status, check.detail.partition(":")[0]
