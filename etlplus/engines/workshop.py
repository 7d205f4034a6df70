"""
All engines of one worker: which of them carries an attempt depends on the kind of its job.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from etlplus.engines.commands import Commands
from etlplus.engines.contract import Engine, EngineStatistics, Lease, Reports, Work
from etlplus.engines.functions import Functions
from etlplus.errors import Problem
from etlplus.jobs.checks import check_rules, check_schedule
from etlplus.jobs.model import Job, JobDraft
from etlplus.jobs.outcome import Result
from etlplus.pipeline.complaints import refused


class Workshop:
    """See the module.

    Args:
        loads: Carries pipelines.
        functions: Calls functions of the program.
        commands: Runs commands.
    """

    def __init__(self, loads: Engine, functions: Functions, commands: Commands) -> None:
        self._loads = loads
        self.functions = functions
        self._commands = commands

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        """See ``contract.Engine``."""
        if work.command is not None:
            return await self._commands.execute(work, lease, reports)
        if work.function is not None:
            return await self.functions.execute(work, lease, reports)
        return await self._loads.execute(work, lease, reports)

    async def check(self, draft: JobDraft) -> tuple[Problem, ...]:
        """Everything that is wrong with a definition, as far as can be known without running it: with its pipeline, with the
        parameters that its schedule gives, and with the rules of its retries.
        """
        given = draft.schedule.given if draft.schedule is not None else {}
        unfit = [*self._unfit_schedule(draft), *refused(check_rules(draft.retry))]
        if draft.pipeline is None:
            return (*unfit,)
        found = await self._loads.check(draft.pipeline, given, draft.base_dir)
        return (*(replace(each, pointer=f"/pipeline{each.pointer}") for each in found), *unfit)

    def misfits(self, job: Job, params: dict[str, Any], place: str) -> list[Problem]:
        """What is wrong with the parameters of a run, as far as this worker knows the function that would get them."""
        return self.functions.misfits(job.python, params, place) if job.python is not None else []

    def _unfit_schedule(self, draft: JobDraft) -> list[Problem]:
        if draft.schedule is None:
            return []
        if draft.python is not None:
            return self.functions.misfits(draft.python, draft.schedule.given, "/schedule/params")
        return refused(check_schedule(draft.pipeline, draft.schedule)) if draft.pipeline is not None else []

    def statistics(self) -> EngineStatistics:
        """Sums over the engines that use processes; calls of functions beside them are counted as working, too."""
        each = [self._loads.statistics(), self.functions.statistics(), self._commands.statistics()]
        return EngineStatistics(
            working=sum(one.working for one in each),
            spares=sum(one.spares for one in each),
            rss_bytes=sum(one.rss_bytes for one in each),
            spawned=sum(one.spawned for one in each),
            killed=sum(one.killed for one in each),
        )
