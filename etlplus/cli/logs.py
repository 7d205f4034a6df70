"""
``etlplus runs logs``: what an attempt wrote.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

from etlplus.cli.daemon_command import add_daemon_command

if TYPE_CHECKING:
    from etlplus.cli.arguments import Commands
    from etlplus.client import Client
    from etlplus.service.views import LogPage

PAGE = 1000


def add_logs_to(group: Commands) -> None:
    """Teach the command line this command."""
    logs = add_daemon_command(group, "logs", "show what an attempt of a run wrote", _logs)
    logs.add_argument("run", metavar="RUN", help="its id")
    logs.add_argument("--attempt", type=int, metavar="N", help="the attempt (the latest)")
    chosen = logs.add_mutually_exclusive_group()
    chosen.add_argument("--search", metavar="TEXT", help="only the lines with this text, in capitals or not")
    chosen.add_argument("--tail", type=int, metavar="N", help="only the last so many lines")
    chosen.add_argument("--follow", action="store_true", help="go on as lines are written, until the run has ended")


async def _logs(client: Client, chosen: argparse.Namespace) -> int:
    if chosen.tail is not None:
        _show(await client.runs.log_tail(chosen.run, attempt=chosen.attempt, limit=chosen.tail), chosen)
    elif chosen.follow:
        await _follow(client, chosen)
    else:
        await _rest(client, chosen, chosen.attempt, None)
    return 0


async def _rest(client: Client, chosen: argparse.Namespace, attempt: int | None, cursor: str | None) -> str | None:
    """Show all lines of an attempt from a cursor on; gives the cursor after the last one."""
    while True:
        page = await client.runs.log(chosen.run, attempt=attempt, search=chosen.search, limit=PAGE, cursor=cursor)
        _show(page, chosen)
        if page.items:
            cursor = str(page.items[-1].number)
        if page.next_cursor is None:
            if page.dropped and not chosen.follow:
                print(f"{page.dropped:,} lines were not kept: the log was full", file=sys.stderr)
            return cursor


async def _follow(client: Client, chosen: argparse.Namespace) -> None:
    """Show one attempt after the other, or the one that was asked for, to the end of the run.

    News only say that there is something to read: what is shown comes from the store, so nothing is missed or doubled.
    """
    attempt = chosen.attempt or max((await client.runs.get(chosen.run)).attempt, 1)
    cursor = None
    async with aclosing(client.runs.follow(chosen.run, log=True)) as news:
        async for _ in news:
            latest = (await client.runs.get(chosen.run)).attempt
            while attempt <= latest:
                cursor = await _rest(client, chosen, attempt, cursor)
                if attempt == latest:
                    break
                if chosen.attempt is not None:
                    return
                cursor, attempt = None, attempt + 1


def _show(page: LogPage, chosen: argparse.Namespace) -> None:
    import msgspec

    for line in page.items:
        if chosen.json:
            print(msgspec.json.encode(line).decode())
        else:
            level = "" if line.level == "info" else f"{line.level}: "
            print(f"{line.at:%Y-%m-%d %H:%M:%SZ}  {level}{line.text}", flush=chosen.follow)
