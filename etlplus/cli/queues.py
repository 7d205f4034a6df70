"""
``etlplus queues`` and ``etlplus limits``: where runs wait in the running daemon, and what limits them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from etlplus.cli.arguments import add_group
from etlplus.cli.daemon_command import add_daemon_command
from etlplus.cli.live import live_queues

if TYPE_CHECKING:
    from etlplus.cli.arguments import Commands
    from etlplus.client import Client
    from etlplus.jobs.queues import QueueCounts
    from etlplus.jobs.rates import Rate


def add_to(commands: Commands) -> None:
    """Teach the command line these commands."""
    group = add_group(commands, "queues", "list, make, pause, open and drain queues in the running daemon")
    listing = add_daemon_command(group, "list", "list all queues, with how much waits in each", _list)
    listing.add_argument("--follow", action="store_true", help="show every queue as it changes, until interrupted")
    for name, summary, act in (
        ("show", "show one queue", _show),
        ("pause", "give out no more runs; new ones come in and wait", _pause),
        ("resume", "give out runs again, and accept new ones", _resume),
        ("drain", "accept no more runs, and carry those that are there", _drain),
        ("delete", "forget a queue that is empty and unused", _delete),
    ):
        add_daemon_command(group, name, summary, act).add_argument("queue", metavar="QUEUE", help="its name")
    change = add_daemon_command(group, "set", "make a queue, or change what it allows", _set)
    change.add_argument("queue", metavar="QUEUE", help="its name")
    change.add_argument("--slots", type=int, metavar="N", help="so many runs at once (without: as many as workers can)")
    _add_limits(commands)


def _add_limits(commands: Commands) -> None:
    group = add_group(commands, "limits", "list, make and delete limits in the running daemon")
    add_daemon_command(group, "list", "list all limits", _list_limits)
    change = add_daemon_command(group, "set", "make a limit, or change what each of its keys allows", _set_limit)
    change.add_argument("limit", metavar="LIMIT", help="its name; * is the limit over all runs")
    change.add_argument("--slots", type=int, metavar="N", help="so many runs at once for each key")
    change.add_argument("--rate", metavar="N/PERIOD", help="so many runs begin in that time, such as 5/s or 100/1m")
    change.add_argument("--burst", type=int, metavar="N", help="so many of them at once after a lull (without: N)")
    delete = add_daemon_command(group, "delete", "forget a limit that nothing uses", _delete_limit)
    delete.add_argument("limit", metavar="LIMIT", help="its name")


def _row(counts: QueueCounts) -> tuple[object, ...]:
    queue = counts.queue
    return (
        queue.name, queue.mode.value, queue.slots, counts.queued, counts.scheduled, counts.running, counts.oldest_at,
    )  # fmt: skip


_HEAD = ("NAME", "MODE", "SLOTS", "QUEUED", "SCHEDULED", "RUNNING", "OLDEST")


async def _list(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show

    if chosen.follow:
        return await live_queues(client, chosen)
    page = await client.queues.list()
    show(page, as_json=chosen.json, text=columns(_HEAD, map(_row, page.items)))
    return 0


async def _show(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show

    counts = await client.queues.get(chosen.queue)
    show(counts, as_json=chosen.json, text=columns(_HEAD, [_row(counts)]))
    return 0


async def _set(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show
    from etlplus.jobs.queues import QueueDraft

    queue = await client.queues.save(QueueDraft(name=chosen.queue, slots=chosen.slots))
    slots = "as many as workers can" if queue.slots is None else f"up to {queue.slots}"
    show(queue, as_json=chosen.json, text=f"{queue.name} ({queue.mode}): {slots} at once")
    return 0


async def _pause(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show

    queue = await client.queues.pause(chosen.queue)
    show(queue, as_json=chosen.json, text=f"{queue.name} is paused; runs in hand go on")
    return 0


async def _resume(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show

    queue = await client.queues.resume(chosen.queue)
    show(queue, as_json=chosen.json, text=f"{queue.name} is open")
    return 0


async def _drain(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show

    queue = await client.queues.drain(chosen.queue)
    show(queue, as_json=chosen.json, text=f"{queue.name} is draining: it takes no new runs")
    return 0


async def _delete(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show_gone

    await client.queues.delete(chosen.queue)
    show_gone("queue", chosen.queue, as_json=chosen.json)
    return 0


async def _list_limits(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show

    page = await client.limits.list()
    rows = [(limit.name, limit.slots, limit.rate and _paced(limit.rate)) for limit in page.items]
    show(page, as_json=chosen.json, text=columns(("NAME", "SLOTS", "RATE"), rows))
    return 0


async def _set_limit(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show
    from etlplus.cli.rates import rate_of
    from etlplus.errors import Invalid, Problem
    from etlplus.jobs.queues import LimitDraft

    rate = rate_of(chosen.rate, chosen.burst)
    if chosen.slots is None and rate is None:
        problem = Problem("the limit limits nothing", suggestion="give --slots, --rate, or both")
        raise Invalid("A value of the command line is refused.", [problem])
    limit = await client.limits.save(LimitDraft(name=chosen.limit, slots=chosen.slots, rate=rate))
    bounds = [f"up to {limit.slots} at once"] if limit.slots is not None else []
    bounds += [_paced(limit.rate)] if limit.rate is not None else []
    show(limit, as_json=chosen.json, text=f"{limit.name}: {', '.join(bounds)} for each key")
    return 0


def _paced(rate: Rate) -> str:
    from etlplus.cli.rates import period

    return f"{rate.count} in {period(rate.per_s)}, {rate.size} in a burst"


async def _delete_limit(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show_gone

    await client.limits.delete(chosen.limit)
    show_gone("limit", chosen.limit, as_json=chosen.json)
    return 0
