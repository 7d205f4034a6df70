"""
Following one run to its end, whoever tells the news: a service in process, or a daemon through the client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from etlplus.actors.news import News, ProgressNews
from etlplus.cli.exits import Exit
from etlplus.cli.progress import ProgressLine
from etlplus.jobs.views import RunView


async def follow(start: RunView, news: AsyncIterator[News], line: ProgressLine) -> RunView:
    """Show every step of a run until no further can follow; gives the run as it ended."""
    run = start
    line.show(run.state, run.progress)
    while not run.finished:
        told = await anext(news)
        if isinstance(told, ProgressNews):
            if told.run_id == run.id and told.version >= run.version:
                line.show(run.state, told.progress)
        elif told.run.id == run.id and told.run.version > run.version:
            run = told.run
            line.show(run.state, run.progress)
    line.close()
    return run


def exit_of_run(run: RunView) -> Exit:
    """Only a run that succeeded, or that a rule skipped, is a success."""
    return Exit.OK if run.state in ("succeeded", "skipped") else Exit.FAILED
