"""
The program of a node: the service within somebody's own program, with a clock that may be wrong, until SIGTERM.

Ends with status 75 when the database does not answer at the start, so that whoever started it tries again.
"""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import trio

import etlplus
from bench.chaos.work import Journal, Work
from etlplus.errors import StoreUnavailable
from etlplus.service.local import Service
from etlplus.settings import Engine, Lease, Settings, Shutdown, Store
from etlplus.store.postgres.bridge import open_bridge
from etlplus.telemetry import set_up_logging

TRY_AGAIN_EXIT = 75
CALLS_MAX = 30


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Who a node is. ``shift_s`` is what its clock is ahead."""

    name: str
    folder: str
    url: str
    shift_s: float
    beat_s: float
    expiry_s: float


async def live(options: NodeOptions) -> int:
    """Serve until SIGTERM."""
    folder = Path(options.folder)
    journal = Journal(folder / f"{options.name}.journal")
    settings = Settings(
        data_dir=str(folder / options.name),
        store=Store(url=options.url),
        engine=Engine(slots=2, calls_max=CALLS_MAX),
        lease=Lease(beat_s=options.beat_s, expiry_s=options.expiry_s),
        shutdown=Shutdown(drain_s=5),
    )
    shift = timedelta(seconds=options.shift_s)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with open_bridge(options.url, "chaos") as bridge:
            work = Work(bridge, journal, options.name)
            async with (
                etlplus.open_service(
                    settings, functions=work.functions, clock=lambda: datetime.now(UTC) + shift
                ) as service,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(_note_worker, service, journal)
                await anext(signals)
                nursery.cancel_scope.cancel()
    return 0


async def _note_worker(service: Service, journal: Journal) -> None:
    """Note under which name the node holds runs, whenever that changes."""
    noted = ""
    while True:
        if (worker := service.house.standing.worker.id) != noted:
            noted = worker
            journal.note("worker", worker_id=worker)
        await trio.sleep(0.05)


def main() -> int:
    """Be the node that the first argument describes."""
    options = msgspec.json.decode(sys.argv[1], type=NodeOptions)
    set_up_logging("info", "json")
    try:
        return trio.run(live, options)
    except StoreUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return TRY_AGAIN_EXIT


if __name__ == "__main__":
    sys.exit(main())
