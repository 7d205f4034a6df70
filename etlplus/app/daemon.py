"""
The daemon: a guest of the service that opens its edge, hears signals, and sees to it that a stop comes to an end.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator

import structlog
import trio

from etlplus.app.opening import open_service
from etlplus.app.staff import STOP_MARGIN_S
from etlplus.service.local import Service
from etlplus.settings import Settings

log = structlog.get_logger()

WEDGED_EXIT = 70


async def serve(settings: Settings) -> int:
    """
    The daemon: the service with its edge, until SIGTERM or SIGINT.

    The first signal drains; before the service is open, it ends the opening. The second cancels what is in hand, which
    returns it to its queue. Should something ignore even that, the stacks of all tasks are written and the process ends with
    status 70.

    Returns:
        The exit status: 0 after an orderly stop.
    """
    opened: list[Service] = []
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals, trio.CancelScope() as whole:
        trio.lowlevel.spawn_system_task(_heed, signals, whole, opened, settings.shutdown.drain_s)
        async with open_service(settings, edge=True) as service:
            opened.append(service)
            ports = service.house.ports
            log.info("serving", rest=ports.rest, monitoring=ports.monitoring, data_dir=str(service.house.data_dir))
            await trio.sleep_forever()
    log.info("stopped")
    return 0


async def _heed(signals: AsyncIterator[int], whole: trio.CancelScope, opened: list[Service], drain_s: float) -> None:
    """The first signal ends the service, which then drains, or ends its opening; a second one skips draining; a stop that
    takes far too long ends the process.
    """
    await anext(signals)
    log.info("draining", drain_s=drain_s)
    whole.cancel()
    with trio.move_on_after(drain_s + 2 * STOP_MARGIN_S):
        await anext(signals)
        log.warning("draining_skipped")
        for service in opened:
            service.house.standing.hurry.set()
        await trio.sleep(2 * STOP_MARGIN_S)
    for task in _all_tasks():
        sys.stderr.write(f"{task.name}:\n{''.join(traceback.StackSummary.extract(task.iter_await_frames()).format())}")
    sys.stderr.flush()
    os._exit(WEDGED_EXIT)


def _all_tasks() -> list[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    tasks: list[trio.lowlevel.Task] = []
    waiting = [root] if root is not None else []
    while waiting:
        task = waiting.pop()
        tasks.append(task)
        waiting += [each for nursery in task.child_nurseries for each in nursery.child_tasks]
    return tasks
