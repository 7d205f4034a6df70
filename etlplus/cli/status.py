"""
``etlplus status``: whether the running daemon works, and what it is doing.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from etlplus.cli.arguments import Commands, add_command, add_daemon
from etlplus.cli.exits import Exit

if TYPE_CHECKING:
    from etlplus.service.views import HealthView, StatusView

_EPILOG = """\
Whether it works is told to anybody; what it is doing, with a token. Ends with status 8 if it does
not work.
"""


def add_to(commands: Commands) -> None:
    """Teach the command line this command."""
    parser = add_command(commands, "status", "show whether the running daemon works, and what it does", _EPILOG)
    add_daemon(parser)
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    parser.set_defaults(act=_status)


def _status(chosen: argparse.Namespace) -> int:
    import trio  # help must not wait for it

    from etlplus.cli.connection import show

    health, status = trio.run(_ask, chosen)
    text = "\n".join([*_health_lines(health), *(_status_lines(status) if status else [])])
    show({"health": health, "status": status}, as_json=chosen.json, text=text)
    return Exit.UNAVAILABLE if health.status == "fail" else Exit.OK


async def _ask(chosen: argparse.Namespace) -> tuple[HealthView, StatusView | None]:
    from etlplus.client import connect
    from etlplus.errors import Unavailable

    async with connect(chosen.url, token=chosen.token or None) as client:
        health = await client.system.health()
        if not chosen.token:
            return health, None
        try:
            return health, await client.system.status()
        except Unavailable:
            if health.status != "fail":
                raise
            return health, None  # the store is out, and health has just said so


def _health_lines(health: HealthView) -> list[str]:
    checks = [f"{check.name:10}{check.status}  {check.detail}".rstrip() for check in health.checks]
    return [f"etlplus {health.version}, up for {health.uptime_s:.0f} s: {health.status}", *checks]


def _status_lines(status: StatusView) -> list[str]:
    from etlplus.cli.connection import columns

    store = status.store
    runs = "not known"
    if status.runs is not None:
        runs = ", ".join(f"{amount} {state}" for state, amount in status.runs.items() if amount) or "none"
    lines = [
        f"slots     {status.slots_busy} of {status.slots} busy",
        f"runs      {runs}",
        f"letters   {'not known' if status.dead_letters is None else status.dead_letters}",
        f"watchers  {status.watchers}",
        f"store     {store.state} since {store.since:%Y-%m-%d %H:%M:%SZ}, outages since the start: {store.outages}",
    ]
    if store.lanes:
        rows = [
            (lane, view.in_use, view.idle, view.waiting, view.opened, view.closed) for lane, view in store.lanes.items()
        ]
        lines.append(columns(("LANE", "IN USE", "IDLE", "WAITING", "OPENED", "CLOSED"), rows))
    return lines
