"""What only a file can suffer: a killed writer, a full disk, a newer program."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from etlplus.errors import StoreUnavailable
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import JobDraft, NewRun
from etlplus.store.opening import open_store
from etlplus.store.sqlite import definitions, enqueueing, schema
from etlplus.store.sqlite.writer import open_thread_writer

NOW = datetime(2026, 5, 4, tzinfo=UTC)

WRITES_FOR_EVER = """
import sys, trio
from datetime import UTC, datetime
from etlplus.jobs.model import JobDraft, NewRun
from etlplus.store.opening import open_store

async def main():
    now = datetime.now(UTC)
    async with open_store("sqlite:" + sys.argv[1]) as store:
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=now)
        while True:
            runs = await store.enqueue([NewRun(job_id=job.id)] * 5, now=now)
            print(runs[-1].id, flush=True)

trio.run(main)
"""


@pytest.mark.slow
async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """After kill -9 in the middle of writing, every unit that was answered is there, and none by half."""
    path = tmp_path / "store.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITES_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - nothing else runs
    with writer:
        assert writer.stdout is not None
        answered = [writer.stdout.readline().strip() for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
    async with open_store(f"sqlite:{path}") as store:
        for run_id in answered:
            await store.run(run_id)
        runs = await store.runs(limit=100_000)
        assert len(runs) % 5 == 0
        assert (await store.counts()).runs["queued"] == len(runs)


@pytest.mark.parametrize("pragma", [("journal_mode", "wal"), ("synchronous", 2)])
async def test_each_answer_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pragma: tuple[str, object]
) -> None:
    """The connection that writes has SQLite sync its log before a unit is answered (2 is FULL)."""
    writers: list[sqlite3.Connection] = []

    def seen(db: sqlite3.Connection) -> Any:
        writers.append(db)
        return open_thread_writer(db)

    monkeypatch.setattr("etlplus.store.sqlite.body.open_thread_writer", seen)
    async with open_store(f"sqlite:{tmp_path / 's'}"):
        name, value = pragma
        assert [db.execute(f"PRAGMA {name}").fetchone() for db in writers] == [(value,)]


async def test_a_full_disk_refuses_and_later_goes_on(tmp_path: Path) -> None:
    """What does not fit is refused as a whole with a sentence; once there is room, the store works again."""
    db = sqlite3.connect(tmp_path / "s", isolation_level=None, check_same_thread=False)
    schema.migrate(db)
    ids = Ids(Random(1))
    async with open_thread_writer(db) as writer:
        job = await writer.run(
            lambda db: definitions.save_job(db, ids, JobDraft(name="j", pipeline={}), NOW, None, None)
        )
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreUnavailable, match="full"):
            await writer.run(lambda db: enqueueing.enqueue(db, ids, [NewRun(job_id=job.id)] * 500, NOW))
        assert await writer.run(lambda db: db.execute("SELECT count(*) FROM run_live").fetchone()) == (0,)
        db.execute("PRAGMA max_page_count = 100000")
        assert len(await writer.run(lambda db: enqueueing.enqueue(db, ids, [NewRun(job_id=job.id)] * 500, NOW))) == 500
    db.close()


async def test_units_that_wait_share_one_commit(tmp_path: Path) -> None:
    """A hundred callers at once cost far fewer commits, and one failing unit undoes only itself."""
    async with open_store(f"sqlite:{tmp_path / 's'}") as store:
        job = await store.save_job(JobDraft(name="j", pipeline={}), now=NOW)
        failures: list[str] = []

        async def enqueue(job_id: str) -> None:
            try:
                await store.enqueue([NewRun(job_id=job_id)], now=NOW)
            except LookupError:
                raise
            except Exception as error:  # noqa: BLE001 - collected and compared below
                failures.append(type(error).__name__)

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(enqueue, job.id if number % 10 else "nobody")
        figures = (await store.statistics()).figures
        assert failures == ["NotFound"] * 10
        assert (await store.counts()).runs["queued"] == 90
        assert figures["commits"] < figures["units"]
