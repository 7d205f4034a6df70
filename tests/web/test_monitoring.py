"""Live monitoring, as a client of another library sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import trio
from house_kit import House

from etlplus.actors.watchers import Watchers
from etlplus.client import connect
from etlplus.jobs.model import JobDraft

STRANGER = """
import asyncio, json, sys
import websockets

async def main():
    url, token = sys.argv[1:]
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.connect(url, additional_headers=headers, subprotocols=["etlplus.v1"]) as ws:
        print(await ws.recv(), flush=True)
        await ws.send("no json")
        print(await ws.recv(), flush=True)
        await ws.send(json.dumps({"type": "subscribe", "topics": ["runs"]}))
        while True:
            message = json.loads(await ws.recv())
            print(json.dumps(message), flush=True)
            if message["type"] == "run" and message["run"]["state"] == "succeeded":
                return

asyncio.run(main())
"""


def draft(folder: Path) -> JobDraft:
    source = folder / "n.csv"
    source.write_text("n\n1\n2\n3\n")
    sink = {"id": "out", "type": "sqlite", "input": "n", "path": str(folder / "n.sqlite"), "table": "t"}
    return JobDraft(
        name="n", pipeline={"name": "n", "sources": {"n": {"type": "csv", "path": str(source)}}, "sinks": [sink]}
    )


async def test_a_stranger_sees_snapshot_progress_and_completion(house: House, tmp_path: Path) -> None:
    """The package websockets: hello, an error that does not end it, a snapshot, then the run's life in order."""
    job = await house.service.jobs.create(draft(tmp_path))
    command = [sys.executable, "-c", STRANGER, f"ws://127.0.0.1:{house.monitoring}", house.token]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said: list[dict[str, object]] = []
    buffer = b""
    with trio.fail_after(60):
        async for part in process.stdout:
            buffer += part
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                said.append(json.loads(line))
                if said[-1]["type"] == "snapshot":
                    await house.service.runs.start(job.id)
        assert await process.wait() == 0
    assert [message["type"] for message in said[:3]] == ["hello", "error", "snapshot"]
    runs = [message["run"] for message in said if message["type"] == "run"]
    assert [run["state"] for run in runs] == ["queued", "running", "succeeded"]  # type: ignore[index]
    assert [run["version"] for run in runs] == [1, 2, 3]  # type: ignore[index]
    assert any(message["type"] == "progress" for message in said)
    numbers = [message["n"] for message in said if message["type"] in ("run", "progress")]
    assert numbers == sorted(numbers)  # type: ignore[type-var]


async def test_our_own_client_follows_a_run_that_has_ended(house: House, tmp_path: Path) -> None:
    """Following begins with how the run stands; for one that has ended, that is all."""
    async with connect(f"http://127.0.0.1:{house.rest}", token=house.token) as client:
        job = await client.jobs.create(draft(tmp_path))
        run = await client.runs.start(job.id, key="once")
        assert (await client.runs.start(job.id, key="once")).id == run.id
        seen = [told async for told in client.runs.follow(run.id)]
        again = [told async for told in client.runs.follow(run.id)]
        assert (await client.runs.rejects(run.id)).items == []
        assert [each.id for each in (await client.runs.list(job="n")).items] == [run.id]
    assert seen
    assert len(again) == 1


async def test_a_slow_watcher_is_let_go_and_the_others_are_not(house: House) -> None:
    """The first piece of news that finds no room ends that watcher only."""
    watchers = Watchers()
    slow = watchers.add(("runs",), capacity=2, position=0)
    quick = watchers.add(("runs",), capacity=10, position=0)
    for number in range(4):
        watchers.tell(("runs",), str(number).encode())
    assert (slow.lagged, quick.lagged, watchers.let_go, len(watchers)) == (True, False, 1, 1)
    assert [message async for message in slow.news] == [b"0", b"1"]
    assert quick.news.statistics().current_buffer_used == 4
