"""
Dramatiq with its defaults: ``dramatiq MODULE``, which starts one process for each core with eight threads each.

A run is acknowledged after it was executed: then its message leaves the broker's hash of messages. Those that failed for good
would wait in the queue for dead letters, so it must be empty. There is no enqueueing in bulk: they are sent one by one.
"""

from __future__ import annotations

import os

import dramatiq
import redis
import stopwatch
from dramatiq.brokers.redis import RedisBroker

VALKEY = redis.Redis.from_url(stopwatch.ADDRESS)
MESSAGES, DEAD = "dramatiq:default.msgs", "dramatiq:default.XQ"
MODULE = "dramatiq_peer"
THREADS = 8


class Notes(dramatiq.Middleware):
    """Leaves what was noted when a process of the worker ends."""

    def after_worker_shutdown(self, broker: object, worker: object) -> None:
        """All threads of this process have ended."""
        stopwatch.keep()


dramatiq.set_broker(RedisBroker(url=stopwatch.ADDRESS))
dramatiq.get_broker().add_middleware(Notes())


@dramatiq.actor
def noop() -> None:
    """Nothing but a note."""
    stopwatch.executed()


def main() -> None:
    """Enqueue, burn, report."""
    for _ in range(stopwatch.RUNS):
        noop.send()
    with stopwatch.worker("dramatiq", MODULE):
        until = stopwatch.wait_until(lambda: not VALKEY.exists(MESSAGES))
    stopwatch.gather()
    settings = {"processes": os.cpu_count(), "threads": THREADS}
    stopwatch.report(settings, stopwatch.RUNS - VALKEY.hlen(MESSAGES) - VALKEY.zcard(DEAD), until)


if __name__ == "__main__":
    main()
