"""
``etlplus letters``: runs that failed for good in the running daemon, and what becomes of them.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from etlplus.cli.arguments import add_group, moment, parameters
from etlplus.cli.daemon_command import add_daemon_command
from etlplus.cli.exits import Exit

if TYPE_CHECKING:
    from etlplus.cli.arguments import Commands
    from etlplus.client import Client
    from etlplus.service.choosing import Letters

_TEACH = """\
Name the runs, or say which are meant by the options, or say --all. A replay is a new run of the job as it is defined now,
with the parameters of the run that failed. What cannot be replayed is told and stays.

examples:
  etlplus letters replay --job flights --code destination_unavailable --dry-run
  etlplus letters replay 01a2b3c4-… --param day=2013-01-31
  etlplus letters discard --job old_report --reason 'the report is gone'
"""


def add_to(commands: Commands) -> None:
    """Teach the command line these commands."""
    group = add_group(commands, "letters", "list, replay and discard dead letters: runs that failed for good")
    listing = add_daemon_command(group, "list", "list dead letters, newest first", _list)
    listing.add_argument("--limit", type=int, default=50, help="how many at most (50)")
    listing.add_argument("--resolved", action="store_true", help="those that were replayed or discarded instead")
    _add_choice(listing)
    replay = add_daemon_command(group, "replay", "make new runs from dead letters", _replay, _TEACH)
    replay.add_argument(
        "--param", metavar="NAME=VALUE", action="append", default=[], help="change a parameter; null removes it"
    )
    replay.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    discard = add_daemon_command(group, "discard", "resolve dead letters without a replay", _discard, _TEACH)
    discard.add_argument("--reason", required=True, help="why; it is kept")
    for parser in (replay, discard):
        parser.add_argument("run_ids", metavar="RUN", nargs="*", help="the id of a run that failed")
        parser.add_argument("--all", action="store_true", help="all dead letters")
        _add_choice(parser)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--job", help="only of this job")
    parser.add_argument("--queue", help="only in this queue")
    parser.add_argument("--code", help="only with this error, for example data_error")
    parser.add_argument(
        "--from", dest="failed_from", metavar="TIME", help="only those that failed at this moment or later"
    )
    parser.add_argument(
        "--before", dest="failed_before", metavar="TIME", help="only those that failed before this moment"
    )


def _which(chosen: argparse.Namespace) -> Letters:
    from etlplus.service.choosing import Letters

    moments = {
        name: moment(option, text)
        for option, name in (("--from", "failed_from"), ("--before", "failed_before"))
        if (text := getattr(chosen, name)) is not None
    }
    run_ids, everything = getattr(chosen, "run_ids", ()), getattr(chosen, "all", False)
    return Letters(
        run_ids=tuple(run_ids), job=chosen.job, queue=chosen.queue, code=chosen.code, all=everything, **moments
    )


NOT_MEANT = "there is no such dead letter, or it was resolved before, or the options do not fit it"


async def _list(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show

    page = await client.letters.list(_which(chosen), resolved=chosen.resolved, limit=chosen.limit)
    rows = [
        (
            letter.run.id,
            letter.run.job_name,
            letter.failed_at,
            letter.run.error.code if letter.run.error else None,
            letter.resolution,
            letter.replay_id or letter.reason,
        )
        for letter in page.items
    ]
    head = ("RUN", "JOB", "FAILED", "ERROR", "RESOLVED", "AS")
    show(page, as_json=chosen.json, text=columns(head, rows))
    return 0


async def _replay(client: Client, chosen: argparse.Namespace) -> int:
    """Ends as a failure when something that was meant was not replayed."""
    from etlplus.cli.connection import show

    replays = await client.letters.replay(_which(chosen), edit=parameters(chosen.param), dry_run=chosen.dry_run)
    word = "would be made again" if chosen.dry_run else "is made again"
    lines = [
        f"{item.run_id} stays: {'; '.join(item.problems)}"
        if item.problems
        else f"{item.run_id} {word}{f' as {item.replay.id}' if item.replay else ''}"
        for item in replays.items
    ]
    show(replays, as_json=chosen.json, text="\n".join(lines) or "no dead letter is meant")
    if replays.more:
        print("there may be more: ask again", file=sys.stderr)
    return Exit.FAILED if any(item.problems for item in replays.items) else Exit.OK


async def _discard(client: Client, chosen: argparse.Namespace) -> int:
    """Ends as a failure when a run that was named has no dead letter that could be discarded."""
    from etlplus.cli.connection import show

    gone = await client.letters.discard(_which(chosen), reason=chosen.reason)
    stayed = [run for run in dict.fromkeys(chosen.run_ids) if run not in gone.run_ids]
    lines = [f"{run} is discarded" for run in gone.run_ids]
    lines += [f"{run} stays: {NOT_MEANT}" for run in stayed]
    show(gone, as_json=chosen.json, text="\n".join(lines) or "no dead letter is meant")
    if gone.more:
        print("there may be more: ask again", file=sys.stderr)
    return Exit.FAILED if stayed else Exit.OK
