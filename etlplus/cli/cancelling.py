"""
``etlplus runs cancel``: the end of one run, or of all that fit what is said about them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from etlplus.cli.arguments import moment
from etlplus.cli.daemon_command import add_daemon_command
from etlplus.cli.starting import UNFINISHED
from etlplus.errors import Invalid, Problem

if TYPE_CHECKING:
    from etlplus.cli.arguments import Commands
    from etlplus.client import Client
    from etlplus.service.choosing import UnfinishedRuns
    from etlplus.service.views import RunsCancelled

_TEACH = """\
Name one run, or say which are meant by the options, or say --all: unfinished runs that fit every option. What waits is
cancelled at once, what runs is asked to end. What is made meanwhile is not meant.

examples:
  etlplus runs cancel 01a2b3c4-…
  etlplus runs cancel --job flights --state queued --dry-run
  etlplus runs cancel --limit-key tenant/42 --before 2030-01-31T18:00:00Z
"""


def add_cancel(group: Commands) -> None:
    """Teach ``runs`` to cancel some."""
    cancel = add_daemon_command(group, "cancel", "stop a run, or many", _cancel, _TEACH)
    cancel.add_argument("run", metavar="RUN", nargs="?", help="its id")
    cancel.add_argument("--job", help="only runs of this job")
    cancel.add_argument("--queue", help="only runs in this queue")
    cancel.add_argument(
        "--state", dest="states", choices=UNFINISHED, action="append", default=[], help="only in this state, or these"
    )
    cancel.add_argument("--limit-key", metavar="KEY", help="only what counts against this key, such as tenant/42")
    cancel.add_argument("--before", metavar="TIME", help="only runs that were made before this moment")
    cancel.add_argument("--all", action="store_true", help="all unfinished runs")
    cancel.add_argument("--dry-run", action="store_true", help="count what is meant, and cancel nothing")


def _which(chosen: argparse.Namespace) -> UnfinishedRuns:
    from etlplus.service.choosing import UnfinishedRuns

    before = moment("--before", chosen.before) if chosen.before is not None else None
    return UnfinishedRuns(
        job=chosen.job,
        queue=chosen.queue,
        states=tuple(chosen.states),
        limit_key=chosen.limit_key,
        made_before=before,
        all=chosen.all,
    )


async def _cancel(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show
    from etlplus.service.choosing import UnfinishedRuns

    which = _which(chosen)
    if chosen.run is None:
        return await _cancel_many(client, which, chosen)
    if which != UnfinishedRuns() or chosen.dry_run:
        problem = Problem("one run is named, and then many are meant", suggestion="a RUN, or options")
        raise Invalid("A value of the command line is refused.", [problem])
    run = await client.runs.cancel(chosen.run)
    show(run, as_json=chosen.json, text=f"{run.id} {'is being cancelled' if not run.finished else run.state}")
    return 0


async def _cancel_many(client: Client, which: UnfinishedRuns, chosen: argparse.Namespace) -> int:
    """Stretch after stretch, until nothing is left of what is meant."""
    from etlplus.cli.connection import show

    whole = part = await client.runs.cancel_many(which, dry_run=chosen.dry_run)
    while part.next_cursor is not None:
        part = await client.runs.cancel_many(which, cursor=part.next_cursor)
        whole = _together(whole, part)
    show(whole, as_json=chosen.json, text=_told(whole))
    return 0


def _together(whole: RunsCancelled, part: RunsCancelled) -> RunsCancelled:
    from etlplus.service.views import RunsCancelled

    return RunsCancelled(
        cancelled=whole.cancelled + part.cancelled,
        asked=whole.asked + part.asked,
        run_ids=whole.run_ids + part.run_ids,
        dry_run=whole.dry_run,
    )


def _told(whole: RunsCancelled) -> str:
    if not whole.cancelled + whole.asked:
        return "no run is meant"
    words = ("would be cancelled", "would be asked to end") if whole.dry_run else ("cancelled", "asked to end")
    return f"{whole.cancelled:,} {words[0]}, {whole.asked:,} {words[1]}"
