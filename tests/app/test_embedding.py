"""The service inside of somebody else's program."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

import etlplus
from etlplus.errors import Conflict, Invalid
from etlplus.jobs.model import JobDraft, RunState
from etlplus.settings import Engine, Settings
from etlplus.store.opening import open_store


def settings_in(folder: Path) -> Settings:
    return Settings(data_dir=str(folder / "data"), engine=Engine(slots=1))


def child_processes() -> set[str]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {pid for task in tasks for pid in (task / "children").read_text().split()}


@pytest.mark.slow
async def test_a_cancelled_nursery_drains_the_house_and_leaves_nothing(
    copy_job: Callable[..., JobDraft], tmp_path: Path
) -> None:
    """A foreign nursery is cancelled in mid-run: the run is finished or queued again, no child and no thread is left."""
    before = child_processes()
    run_id = ""
    with trio.CancelScope() as scope:
        async with etlplus.open_service(settings_in(tmp_path)) as service:
            job = await service.jobs.create(copy_job())
            async with service.events.watch() as feed:
                run_id = (await service.runs.start(job.id)).id
                async for encoded in feed:
                    if b'"progress"' in encoded and b'"rows_read"' in encoded:
                        break
            scope.cancel()
            await trio.sleep_forever()
    assert child_processes() <= before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("etlplus")]
    async with open_store(f"sqlite:{tmp_path / 'data' / 'store.sqlite'}") as store:
        run = await store.run(run_id)
        assert run.state in (RunState.SUCCEEDED, RunState.QUEUED)
        assert await store.workers() == []


@pytest.mark.slow
async def test_no_process_waits_where_none_is_wanted(copy_job: Callable[..., JobDraft], tmp_path: Path) -> None:
    """A service without spares starts a process for a load, and has none ready before or after."""
    before = child_processes()
    settings = Settings(data_dir=str(tmp_path / "data"), engine=Engine(slots=1, spares=False))
    async with etlplus.open_service(settings) as service, service.events.watch() as feed:
        assert child_processes() <= before
        assert service.house.workshop.statistics().spawned == 0
        job = await service.jobs.create(copy_job())
        await service.runs.start(job.id)
        async for encoded in feed:
            if b'"succeeded"' in encoded:
                break
        assert service.house.workshop.statistics().spares == 0


async def test_an_error_of_the_body_comes_out_bare(tmp_path: Path) -> None:
    """What the embedder raises reaches the embedder as it is, not in a group."""
    with pytest.raises(LookupError, match="mine"):
        async with etlplus.open_service(settings_in(tmp_path)):
            raise LookupError("mine")


async def test_a_directory_serves_one_service(tmp_path: Path) -> None:
    """A second service on the same folder is refused, and the first goes on."""
    async with etlplus.open_service(settings_in(tmp_path)) as service:
        with pytest.raises(Conflict, match="in use by process"):
            async with etlplus.open_service(settings_in(tmp_path)):
                pass
        assert (await service.system.health()).status == "pass"


async def test_a_plan_that_cannot_run_is_not_stored(tmp_path: Path) -> None:
    """A wrong key is named with its place, and there is no job afterwards."""
    async with etlplus.open_service(settings_in(tmp_path)) as service:
        with pytest.raises(Invalid) as refused:
            await service.jobs.create(JobDraft(name="x", pipeline={"name": "x", "sauces": {}}))
        assert "sauces" in str(refused.value)
        assert (await service.jobs.list()).items == []


async def test_by_default_there_is_a_slot_for_each_core(tmp_path: Path) -> None:
    """Nobody has to say how many runs the machine can carry."""
    async with etlplus.open_service(Settings(data_dir=str(tmp_path / "data"))) as service:
        assert (await service.system.status()).slots == os.cpu_count()
