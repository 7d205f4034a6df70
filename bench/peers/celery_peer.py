"""
Celery with its defaults: ``celery worker``, which forks one process for each core, four prefetched for each, no results.

No result backend is set, as for tasks whose result nobody reads. Prefetching more, which its guide suggests for short tasks,
makes no clear difference on two cores. By default a run is acknowledged when a process accepts it, before it is executed; the
clock runs until all are executed and none is left in the broker's list of the unacknowledged. There is no enqueueing in bulk:
all are sent with one producer.
"""

from __future__ import annotations

import os

import redis
import stopwatch
from celery import Celery
from celery.signals import worker_process_shutdown

VALKEY = redis.Redis.from_url(stopwatch.ADDRESS)
QUEUE, UNACKNOWLEDGED = "celery", "unacked"
MODULE = "celery_peer"

path, _, database = stopwatch.ADDRESS.removeprefix("unix://").partition("?db=")
app = Celery(MODULE, broker=f"redis+socket://{path}?virtual_host={database}")


@app.task(name="noop")
def noop() -> None:
    """Nothing but a note."""
    stopwatch.executed()


@worker_process_shutdown.connect
def leave_notes(**_: object) -> None:
    """A process of the worker ends."""
    stopwatch.keep()


def left() -> int:
    """How many runs the broker still holds."""
    return VALKEY.llen(QUEUE) + VALKEY.hlen(UNACKNOWLEDGED)


def main() -> None:
    """Enqueue, burn, report."""
    with app.producer_or_acquire() as producer:
        for _ in range(stopwatch.RUNS):
            noop.apply_async(producer=producer)
    with stopwatch.worker("celery", "-A", MODULE, "worker"):
        emptied = stopwatch.wait_until(lambda: not VALKEY.exists(QUEUE, UNACKNOWLEDGED))
    stopwatch.gather()
    settings = {
        "processes": os.cpu_count(),
        "pool": "prefork",
        "prefetch_multiplier": app.conf.worker_prefetch_multiplier,
    }
    stopwatch.report(settings, stopwatch.RUNS - left(), max([emptied, *stopwatch.moments]))


if __name__ == "__main__":
    main()
