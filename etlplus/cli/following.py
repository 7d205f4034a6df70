"""
Following one run to its end, whoever tells the news: a service in process, or a daemon through the client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from etlplus.actors.news import News, ProgressNews, RunNews, Snapshot
from etlplus.cli.exits import Exit
from etlplus.cli.progress import ProgressLine
from etlplus.jobs.views import RunView


async def follow(start: RunView, news: AsyncGenerator[News], line: ProgressLine) -> RunView:
    """Show every step of a run until no further can follow; gives the run as it ended, and closes the news."""
    run = start
    line.show(run.state, run.progress)
    async with aclosing(news):
        while not run.finished:
            run = _after(await anext(news), run, line)
    line.close()
    return run


def _after(told: News, run: RunView, line: ProgressLine) -> RunView:
    """The run after one piece of news, which may be old or of another run."""
    if isinstance(told, ProgressNews):
        if told.run_id == run.id and told.version >= run.version:
            line.show(run.state, told.progress)
    else:
        views = told.runs if isinstance(told, Snapshot) else [told.run] if isinstance(told, RunNews) else []
        for view in views:
            if view.id == run.id and view.version > run.version:
                line.show(view.state, view.progress)
                return view
    return run


def exit_of_run(run: RunView) -> Exit:
    """Only a run that succeeded, or that a rule skipped, is a success."""
    return Exit.OK if run.state in ("succeeded", "skipped") else Exit.FAILED
