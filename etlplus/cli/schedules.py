"""
``etlplus schedules``: what a schedule means, before anybody relies on it. Needs no daemon.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

from etlplus.cli.arguments import Commands, add_command, add_group
from etlplus.errors import Invalid, Problem
from etlplus.jobs.exclusions import WEEKDAYS
from etlplus.jobs.rules import GapRule, RepeatRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etlplus.jobs.reasons import Occurrence
    from etlplus.jobs.schedules import CronSchedule

_TEACH = """\
CRON has five fields (minute hour day-of-month month day-of-week), or six with seconds in front, or is a nickname such as
@daily. Where clocks are changed, each line says what becomes of the wall time. Days that --exclude names are shown too.

examples:
  etlplus schedules preview '0 2 * * *' --zone Europe/Berlin
  etlplus schedules preview '30 2 * * *' --zone Europe/Berlin --from 2026-03-28T12:00:00Z --gap before
"""


def add_to(commands: Commands) -> None:
    """Teach the command line these commands."""
    group = add_group(commands, "schedules", "see when schedules are due")
    preview = add_command(group, "preview", "show the next nominal times of a cron, each with its reason", _TEACH)
    preview.add_argument("cron", metavar="CRON")
    preview.add_argument("--zone", default="UTC", metavar="NAME", help="the IANA time zone it goes by (UTC)")
    preview.add_argument("--count", type=int, default=10, metavar="N", help="how many nominal times to show (10)")
    preview.add_argument("--from", dest="start", metavar="TIME", help="as seen from this moment (now)")
    preview.add_argument("--gap", choices=get_args(GapRule), help="when clocks are put forward over it")
    preview.add_argument("--repeat", choices=get_args(RepeatRule), help="when clocks are put back over it")
    preview.add_argument("--exclude", choices=WEEKDAYS, action="append", default=[], help="a weekday without runs")
    preview.add_argument("--json", action="store_true", help="answer in JSON")
    preview.set_defaults(act=_preview)


def _preview(chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show  # help must not wait for it
    from etlplus.jobs.occurrences import preview

    if chosen.count < 1:
        raise _refused(Problem(f"--count: {chosen.count} shows nothing", suggestion="accepted: 1 or more"))
    schedule = _schedule(chosen)
    found = preview(schedule, _moment(chosen.start), chosen.count)
    show([_line(each) for each in found], as_json=chosen.json, text=_text(schedule, found))
    return 0


def _schedule(chosen: argparse.Namespace) -> CronSchedule:
    import msgspec

    from etlplus.jobs.schedules import CronSchedule

    said = {name: getattr(chosen, name) for name in ("cron", "zone", "gap", "repeat")}
    try:
        return msgspec.convert(said | {"exclude": {"weekdays": chosen.exclude}}, CronSchedule)
    except msgspec.ValidationError as error:
        raise _refused(Problem(str(error).partition(" - at `$`")[0])) from error


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        suggestion = "accepted: a date, a time and an offset, such as 2026-03-28T12:00:00Z"
        raise _refused(Problem(f"--from: {text!r} is no moment", suggestion=suggestion))
    return moment


def _refused(problem: Problem) -> Invalid:
    return Invalid("The schedule cannot be shown.", [problem])


def _line(occurrence: Occurrence) -> dict[str, object]:
    """One nominal time for programs: what the record holds, and whether it is due."""
    from msgspec.structs import asdict

    return {"due": occurrence.due, **asdict(occurrence)}


def _text(schedule: CronSchedule, found: Sequence[Occurrence]) -> str:
    from etlplus.cli.connection import columns
    from etlplus.jobs.schedules import describe

    if not found:
        return f"{describe(schedule)}\nnothing is due any more"
    rows = [(f"{each.wall:%a %Y-%m-%d %H:%M:%S}", each.at if each.due else None, _why(each)) for each in found]
    return f"{describe(schedule)}\n" + columns(("WALL TIME", "DUE (UTC)", "REASON"), rows)


def _why(occurrence: Occurrence) -> str:
    from etlplus.jobs.reasons import MEANING

    return f"{MEANING[occurrence.reason]} ({occurrence.note})" if occurrence.note else MEANING[occurrence.reason]
