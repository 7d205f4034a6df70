"""
The demo as it is told: each step says what it does, and the last line holds the figures.
"""

from __future__ import annotations

import secrets
import shutil
import sys
import time
from pathlib import Path

import msgspec
import trio

from etlplus.cli.demo import truth
from etlplus.cli.demo.daemon import Daemon, data_dir, refuse_if_kept, started
from etlplus.cli.documents import read_document
from etlplus.cli.exits import Exit
from etlplus.cli.following import follow
from etlplus.cli.progress import ProgressLine, summary
from etlplus.client import Client, connect
from etlplus.engines.tenancy import hold
from etlplus.errors import Problem
from etlplus.jobs.views import RunView

JOB = Path("config/demo/flights.yaml")
ADMIN = "admin"


class Signed(msgspec.Struct, frozen=True):
    """The first admin, signed in."""

    password: str
    token: str


async def tell(folder: Path, keep: bool) -> int:
    """The whole demo; gives the exit status."""
    begin = time.monotonic()
    _clear(folder)
    data = truth.find_data()
    async with started(folder) as daemon:
        _say(f"the daemon answers at {daemon.rest} (REST) and {daemon.websocket} (live monitoring)")
        signed = await _first_admin(daemon)
        async with connect(daemon.rest, token=signed.token, websocket_url=daemon.websocket) as client:
            run = await _load(client, data, folder)
        problems = await trio.to_thread.run_sync(_problems, run, data, folder)
        if keep:
            daemon.keep(ADMIN, signed.password, signed.token)
        else:
            status = await daemon.stop()
            _say(f"the daemon stopped in order (status {status})")
            problems += [] if status == 0 else [Problem(f"the daemon ended with status {status}")]
    if keep:
        _tell_kept(daemon, signed)
    return _verdict(run, problems, time.monotonic() - begin)


def _clear(folder: Path) -> None:
    """Begin with an empty folder, unless a daemon still works in it."""
    refuse_if_kept(folder)
    with hold(data_dir(folder)):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


async def _first_admin(daemon: Daemon) -> Signed:
    password = secrets.token_urlsafe(12)
    async with connect(daemon.rest) as client:
        await client.identity.bootstrap(daemon.bootstrap_token, ADMIN, password)
        grant = await client.identity.sign_in(ADMIN, password)
    _say(f"made the first admin with the one-time token, and signed in as {ADMIN}")
    return Signed(password, grant.access_token)


async def _load(client: Client, data: truth.Data, folder: Path) -> RunView:
    """Define the job, with the places of this demo as its own parameters, so that anybody can start it again; and run it."""
    document = read_document(JOB)
    with document.placing():
        draft = document.draft(base_dir=str(folder))
        pipeline = document.content | {"params": _params(data, folder)}
        job = await client.jobs.create(msgspec.structs.replace(draft, pipeline=pipeline))
    _say(f"defined the job {job.name} over REST, from {JOB}")
    run = await client.runs.start(job.id)
    _say(f"started run {run.id}, and follow it over WebSocket")
    return await follow(run, client.runs.follow(run.id), ProgressLine(sys.stderr))


def _params(data: truth.Data, folder: Path) -> dict[str, str]:
    sources = {f"{name}_csv": str(path) for name, path in msgspec.structs.asdict(data).items()}
    return sources | {"database": str(_database(folder)), "delays_parquet": str(_parquet(folder))}


def _database(folder: Path) -> Path:
    return folder / "flights.sqlite"


def _parquet(folder: Path) -> Path:
    return folder / "delays.parquet"


def _problems(run: RunView, data: truth.Data, folder: Path) -> list[Problem]:
    if run.state != "succeeded" or run.figures is None:
        return [Problem(f"the run ended as {run.state}")]
    return truth.disagreements(truth.count(data), run.figures, _database(folder), "flights", _parquet(folder))


def _tell_kept(daemon: Daemon, signed: Signed) -> None:
    print(
        f"\nThe daemon keeps running; `make stop` ends it.\n"
        f"  REST        {daemon.rest}\n"
        f"  monitoring  {daemon.websocket}\n"
        f"  user        {ADMIN}\n"
        f"  password    {signed.password}\n"
        f"  token       {signed.token}\n\n"
        f"Run it again, and watch:\n\n"
        f"  export ETLPLUS_URL={daemon.rest} ETLPLUS_TOKEN={signed.token}\n"
        f"  .venv/bin/etlplus runs start flights --follow\n"
    )


def _verdict(run: RunView, problems: list[Problem], seconds: float) -> Exit:
    print(summary(run))
    if problems or run.figures is None:
        print("\n".join(f"demo: {problem}" for problem in problems))
        print("demo: failed")
        return Exit.FAILED
    figures = run.figures
    print(
        f"demo: ok rows_read={figures.rows_read} rows_loaded={figures.rows_loaded}"
        f" rows_quarantined={figures.rows_quarantined} rows_filtered={figures.rows_filtered} seconds={seconds:.1f}"
    )
    return Exit.OK


def _say(sentence: str) -> None:
    print(f"demo: {sentence}", flush=True)
