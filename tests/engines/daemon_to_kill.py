"""A daemon for tests to kill: opens an engine with one spare, starts the load that is named, and waits for its end."""

import sys
from pathlib import Path

import trio
from engine_kit import COMMAND, Hearer, lease, order

from etlplus.engines.local import LocalOptions, open_local


async def main(data_dir, deed=None):
    async with (
        open_local(LocalOptions(data_dir, slots=1, child_command=COMMAND)) as engine,
        trio.open_nursery() as nursery,
    ):
        hearer = Hearer()
        if deed:
            nursery.start_soon(engine.execute, order(deed), lease(), hearer)
            await hearer.pid()
        while engine.statistics().spares < 1:  # noqa: ASYNC110 - the engine tells its state, not its moments
            await trio.sleep(0.005)
        (data_dir / "ready").touch()
        await trio.sleep_forever()


trio.run(main, Path(sys.argv[1]), *sys.argv[2:])
