"""A program with a function that ends it at once, and one that does no harm. It says what has become of both, if it gets there."""

import os
import sys
from pathlib import Path

import msgspec
import trio

import etlplus
from etlplus.jobs.model import RunState, Uniqueness
from etlplus.service.choosing import Letters
from etlplus.settings import Engine, Settings

KILLED = 7


@etlplus.job("deadly", poison_after=2)
async def deadly(context: etlplus.RunContext) -> None:
    os._exit(KILLED)


@etlplus.job("harmless")
async def harmless(context: etlplus.RunContext) -> None:
    """Does nothing."""


async def main(folder: Path) -> None:
    settings = Settings(data_dir=str(folder / "data"), engine=Engine(slots=1, spares=False))
    async with etlplus.open_service(settings, functions=[deadly, harmless]) as service:
        await service.runs.start("deadly", key="once", unique=Uniqueness(states=tuple(RunState)))
        async with service.events.watch() as news:
            run = await service.runs.start("harmless")
            async for _ in news:
                if (run := await service.runs.get(run.id)).finished:
                    break
        (letter,) = (await service.letters.list(Letters(code="worker_lost"))).items
        detail = await service.runs.detail(letter.run.id)
        error = letter.run.error
        assert error is not None
        told = {
            "code": error.code,
            "problems": error.problems,
            "attempts": detail.attempts,
            "harmless": run.state,
        }
        (folder / "told.json").write_bytes(msgspec.json.encode(told))


trio.run(main, Path(sys.argv[1]))
