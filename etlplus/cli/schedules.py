"""
``etlplus schedules``: what a schedule means, before anybody relies on it, and whether it makes runs. A cron needs no daemon.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

from etlplus.cli.arguments import Commands, add_command, add_daemon, add_group, moment
from etlplus.cli.daemon_command import add_daemon_command
from etlplus.errors import Invalid, Problem
from etlplus.jobs.exclusions import WEEKDAYS
from etlplus.jobs.occurrences import PREVIEW_MAX
from etlplus.jobs.rules import GapRule, RepeatRule

if TYPE_CHECKING:
    from etlplus.client import Client
    from etlplus.jobs.schedules import CronSchedule
    from etlplus.service.views import Preview

_TEACH = """\
CRON has five fields (minute hour day-of-month month day-of-week), or six with seconds in front, or is a nickname such as
@daily. Where clocks are changed, each line says what becomes of the wall time. Days that --exclude names are shown too.
With --job, the schedule of a job in the running daemon is shown, of whatever kind it is.

examples:
  etlplus schedules preview '0 2 * * *' --zone Europe/Berlin
  etlplus schedules preview '30 2 * * *' --zone Europe/Berlin --from 2026-03-28T12:00:00Z --gap before
  etlplus schedules preview --job flights
"""


def add_to(commands: Commands) -> None:
    """Teach the command line these commands."""
    group = add_group(commands, "schedules", "see when schedules are due, pause and resume those of jobs")
    _add_preview(group)
    ticks = add_daemon_command(
        group, "ticks", "list what was decided about the nominal times of a job, newest first", _ticks
    )
    ticks.add_argument("job", metavar="JOB", help="its name or id")
    ticks.add_argument("--limit", type=int, default=50, help="how many at most (50)")
    for name, summary, act in (
        ("pause", "make no more scheduled runs of a job; asked for by hand, it runs", _pause),
        ("resume", "make scheduled runs of a job again", _resume),
    ):
        add_daemon_command(group, name, summary, act).add_argument("job", metavar="JOB", help="its name or id")


def _add_preview(group: Commands) -> None:
    preview = add_command(
        group, "preview", "show the next nominal times of a cron or a job, each with its reason", _TEACH
    )
    preview.add_argument("cron", metavar="CRON", nargs="?")
    preview.add_argument("--job", help="show the schedule of this job of the running daemon instead: its name or id")
    preview.add_argument("--zone", metavar="NAME", help="the IANA time zone it goes by (UTC)")
    preview.add_argument("--count", type=int, default=10, metavar="N", help="how many nominal times to show (10)")
    preview.add_argument("--from", dest="start", metavar="TIME", help="as seen from this moment (now)")
    preview.add_argument("--gap", choices=get_args(GapRule), help="when clocks are put forward over it")
    preview.add_argument("--repeat", choices=get_args(RepeatRule), help="when clocks are put back over it")
    preview.add_argument("--exclude", choices=WEEKDAYS, action="append", default=[], help="a weekday without runs")
    preview.add_argument("--json", action="store_true", help="answer in JSON")
    add_daemon(preview)
    preview.set_defaults(act=_preview)


def _preview(chosen: argparse.Namespace) -> int:
    if (chosen.cron is None) == (chosen.job is None):
        raise _refused(Problem("nothing or two things to show", suggestion="accepted: either CRON or --job JOB"))
    if not 1 <= chosen.count <= PREVIEW_MAX:
        accepted = f"accepted: 1 to {PREVIEW_MAX:,}"
        raise _refused(Problem(f"--count: {chosen.count} is out of range", suggestion=accepted))
    return _of_cron(chosen) if chosen.job is None else _of_job(chosen)


def _of_cron(chosen: argparse.Namespace) -> int:
    from etlplus.jobs.occurrences import preview  # help must not wait for it
    from etlplus.jobs.schedules import describe
    from etlplus.service.views import Preview, occurrence_views

    schedule = _schedule(chosen)
    start = moment("--from", chosen.start) if chosen.start else datetime.now(UTC)
    _show(Preview(describe(schedule), occurrence_views(preview(schedule, start, chosen.count))), chosen)
    return 0


def _of_job(chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import with_client  # help must not wait for it

    cron_only = [f"--{name}" for name in ("zone", "gap", "repeat", "exclude") if getattr(chosen, name)]
    if cron_only:
        raise _refused(Problem(f"{cron_only[0]}: the job has that in its schedule", suggestion="leave it out"))
    start = moment("--from", chosen.start) if chosen.start else None

    async def act(client: Client) -> int:
        _show(await client.schedules.upcoming(chosen.job, count=chosen.count, start=start), chosen)
        return 0

    return with_client(chosen, act)


async def _ticks(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show

    page = await client.schedules.ticks(chosen.job, limit=chosen.limit)
    rows = [
        (
            tick.nominal_at,
            tick.last_at if tick.last_at != tick.nominal_at else None,
            tick.outcome.value,
            tick.reason.value if tick.reason else None,
            tick.count,
            tick.run_id,
        )
        for tick in page.items
    ]
    show(page, as_json=chosen.json, text=columns(("NOMINAL", "TO", "OUTCOME", "REASON", "COUNT", "RUN"), rows))
    return 0


async def _pause(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show

    job = await client.schedules.pause(chosen.job)
    show(job, as_json=chosen.json, text=f"{job.name} is paused: its schedule makes no runs")
    return 0


async def _resume(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show
    from etlplus.cli.jobs import next_run

    job = await client.schedules.resume(chosen.job)
    show(job, as_json=chosen.json, text=f"{job.name} makes runs again; next run: {next_run(job)}")
    return 0


def _schedule(chosen: argparse.Namespace) -> CronSchedule:
    import msgspec

    from etlplus.jobs.schedules import CronSchedule
    from etlplus.pipeline.complaints import problem_of

    said = {"cron": chosen.cron, "zone": chosen.zone or "UTC", "gap": chosen.gap, "repeat": chosen.repeat}
    value = said | {"exclude": {"weekdays": chosen.exclude}}
    try:
        return msgspec.convert(value, CronSchedule)
    except msgspec.ValidationError as error:
        found = problem_of(error, value, CronSchedule)
        accepted = f"accepted: {found.suggestion}" if found.suggestion else None
        raise _refused(Problem(f"{found.pointer[1:]}: {found.message}", suggestion=accepted)) from error


def _refused(problem: Problem) -> Invalid:
    return Invalid("The schedule cannot be shown.", [problem])


def _show(preview: Preview, chosen: argparse.Namespace) -> None:
    from etlplus.cli.connection import show

    show(preview.items, as_json=chosen.json, text=_text(preview))


def _text(preview: Preview) -> str:
    from etlplus.cli.connection import columns

    head = preview.description + (" (paused: makes no runs)" if preview.paused else "")
    if not preview.items:
        return f"{head}\nnothing is due any more"
    rows = [
        (
            f"{each.wall:%a %Y-%m-%d %H:%M:%S}",
            each.at if each.due else None,
            f"{each.meaning} ({each.note})" if each.note else each.meaning,
        )
        for each in preview.items
    ]
    return f"{head}\n" + columns(("WALL TIME", "DUE (UTC)", "REASON"), rows)
