"""
``etlplus apply``: make the running daemon have the jobs, queues and limits that stand in a folder.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etlplus.cli.arguments import Commands
from etlplus.cli.daemon_command import add_daemon_command

if TYPE_CHECKING:
    from etlplus.cli.applying.folder import Wishes
    from etlplus.cli.applying.plan import Present, Step
    from etlplus.client import Client
    from etlplus.errors import Problem
    from etlplus.service.views import JobView

_TEACH = """\
DIR holds documents in YAML, JSON or TOML, in folders if you like: jobs, bare pipelines, and files with lists of queues and
limits. Everything is checked first, and the plan is shown; if anything is wrong, nothing is changed. What a job's file does
not say about pausing stays as it is.

  queues: [{name: nightly, slots: 4}]
  limits: [{name: warehouse, slots: 2}]

examples:
  etlplus apply jobs/ --dry-run
  etlplus apply jobs/ --prune
"""


def add_to(commands: Commands) -> None:
    """Teach the command line this command."""
    parser = add_daemon_command(commands, "apply", "make the daemon have the jobs of a folder", _apply, _TEACH)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--prune", action="store_true", help="delete jobs, queues and limits that no file names")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, and change nothing")


async def _apply(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.applying.folder import read_folder
    from etlplus.cli.applying.plan import planned, told, unknown_names
    from etlplus.cli.connection import show
    from etlplus.errors import Invalid

    wishes = read_folder(chosen.folder)
    present = await _present(client)
    problems = unknown_names(wishes, present, prune=chosen.prune) + await _unusable(client, wishes)
    if problems:
        raise Invalid("The folder cannot be applied; nothing was changed.", problems)
    steps = planned(wishes, present, prune=chosen.prune)
    if not chosen.json and steps:
        print(told(steps), flush=True)
    if not chosen.dry_run:
        for number, step in enumerate(steps):
            await _carry_out(client, step, steps[number:])
    show(_record(steps, done=not chosen.dry_run), as_json=chosen.json, text=_summary(steps, chosen.dry_run))
    return 0


async def _present(client: Client) -> Present:
    from etlplus.cli.applying.plan import Present

    jobs: dict[str, JobView] = {}
    cursor = None
    while True:
        page = await client.jobs.list(limit=500, cursor=cursor)
        jobs |= {job.name: job for job in page.items}
        cursor = page.next_cursor
        if cursor is None:
            break
    return Present(
        limits={limit.name: limit for limit in (await client.limits.list()).items},
        queues={counts.queue.name: counts.queue for counts in (await client.queues.list()).items},
        jobs=jobs,
    )


async def _unusable(client: Client, wishes: Wishes) -> list[Problem]:
    """What the daemon finds wrong with the pipelines, which needs its engine."""
    from etlplus.jobs.model import JobDraft

    found: list[Problem] = []
    for wanted in wishes.jobs.values():
        assert isinstance(wanted.draft, JobDraft)
        found += wanted.refused(await client.jobs.check(wanted.draft))
    return found


async def _carry_out(client: Client, step: Step, left: list[Step]) -> None:
    """Do one step; a refusal also says what was not done because of it. What somebody else has deleted meanwhile is deleted."""
    from etlplus.errors import Conflict, Invalid, NotFound

    try:
        await _do(client, step)
    except Invalid as error:
        problems = step.wanted.refused(error.problems) if step.wanted else error.problems
        raise Invalid(_stopped(error.message, step, left), problems, code=error.reason) from error
    except Conflict as error:
        raise Conflict(_stopped(error.message, step, left), error.problems, code=error.reason) from error
    except NotFound as error:
        if step.deed != "delete":
            raise NotFound(_stopped(error.message, step, left), code=error.reason) from error


def _stopped(message: str, step: Step, left: list[Step]) -> str:
    more = f"; {len(left) - 1} more steps were not done" if len(left) > 1 else ""
    return f"{step.deed} {step.kind} {step.name}: {message}{more}"


async def _do(client: Client, step: Step) -> None:
    from etlplus.jobs.model import JobDraft
    from etlplus.jobs.queues import LimitDraft, QueueDraft

    match step.draft, step.present:
        case LimitDraft() as draft, _:
            await client.limits.save(draft)
        case QueueDraft() as draft, _:
            await client.queues.save(draft)
        case JobDraft() as draft, None:
            await client.jobs.create(draft)
        case JobDraft() as draft, job:
            await client.jobs.replace(job.id, draft, expected_version=job.version)
        case None, None if step.kind == "queue":
            await client.queues.delete(step.name)
        case None, None:
            await client.limits.delete(step.name)
        case None, job:
            await client.jobs.delete(job.id, expected_version=job.version)


def _record(steps: list[Step], *, done: bool) -> dict[str, Any]:
    return {
        "done": done,
        "steps": [
            {
                "deed": step.deed,
                "kind": step.kind,
                "name": step.name,
                "changes": [
                    {"field": change.field, "before": change.before, "after": change.after} for change in step.changes
                ],
            }
            for step in steps
        ],
    }


def _summary(steps: list[Step], dry_run: bool) -> str:
    if not steps:
        return "nothing to change"
    counts = Counter(step.deed for step in steps)
    words = ("to create", "to change", "to delete") if dry_run else ("created", "changed", "deleted")
    deeds = zip(("create", "change", "delete"), words, strict=True)
    said = ", ".join(f"{counts[deed]} {word}" for deed, word in deeds if counts[deed])
    return f"{said}; nothing was changed" if dry_run else said
