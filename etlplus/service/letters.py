"""
The letters facet: dead letters, which are runs that failed for good and wait for a person.
"""

from __future__ import annotations

from etlplus.errors import Invalid, Problem
from etlplus.jobs.letters import Edit, LetterFilter, Replay
from etlplus.jobs.views import run_view
from etlplus.service.checking import checked, checked_limit
from etlplus.service.choosing import Letters, refuse_far, refuse_nothing
from etlplus.service.facet import Facet
from etlplus.service.runs import run_id
from etlplus.service.views import Discarded, LetterView, Page, Replays, ReplayView

AT_ONCE_MAX = 1000
REASON_CHARS_MAX = 1000


class LettersFacet(Facet):
    """See ``contract.DeadLetters``."""

    async def list(
        self, which: Letters | None = None, *, resolved: bool = False, limit: int = 50, cursor: str | None = None
    ) -> Page[LetterView]:
        self.who.must("runs:read")
        which = checked(which if which is not None else Letters(), Letters)
        refuse_far(which, "")
        found = await self.house.store.dead_letters(
            await self._filter(which), resolved=resolved, limit=checked_limit(limit) + 1, after=run_id(cursor)
        )
        more = len(found) > limit
        views = [
            LetterView(
                run=run_view(letter.run),
                failed_at=letter.failed_at,
                resolution=letter.resolution,
                resolved_at=letter.resolved_at,
                reason=letter.reason,
                replay_id=letter.replay_id,
            )
            for letter in found[:limit]
        ]
        return Page(views, found[limit - 1].run.id if more else None)

    async def replay(
        self, which: Letters, *, edit: Edit | None = None, dry_run: bool = False, limit: int = AT_ONCE_MAX
    ) -> Replays:
        self.who.must("letters:resolve")
        which = checked(which, Letters, "/which")
        refuse_nothing(which, "dead letters")
        refuse_far(which, "/which")
        edit = checked(edit, Edit, "/edit") if edit is not None else None
        found = await self.house.store.replay(
            await self._filter(which),
            now=self.house.now(),
            edit=edit,
            dry_run=dry_run,
            limit=checked_limit(limit, AT_ONCE_MAX),
        )
        self.announce([replay.run for replay in found if replay.run is not None])
        return Replays(
            items=[*map(_replay_view, found), *_missing(which, found)], dry_run=dry_run, more=len(found) == limit
        )

    async def discard(self, which: Letters, *, reason: str, limit: int = AT_ONCE_MAX) -> Discarded:
        self.who.must("letters:resolve")
        which = checked(which, Letters, "/which")
        refuse_nothing(which, "dead letters")
        refuse_far(which, "/which")
        _refuse_reason(reason)
        gone = await self.house.store.discard(
            await self._filter(which), reason=reason, now=self.house.now(), limit=checked_limit(limit, AT_ONCE_MAX)
        )
        return Discarded(gone, more=len(gone) == limit)

    async def _filter(self, which: Letters) -> LetterFilter:
        """What the store is asked for; a job that is gone is asked for by its id."""
        return LetterFilter(
            run_ids=which.run_ids,
            job_id=(await self.find_job(which.job)).id if which.job is not None else None,
            queue=which.queue,
            code=which.code,
            failed_from=which.failed_from,
            failed_before=which.failed_before,
        )


def _replay_view(replay: Replay) -> ReplayView:
    made = run_view(replay.run) if replay.run is not None else None
    return ReplayView(replay.run_id, replay.params, made, list(replay.problems))


def _missing(which: Letters, found: list[Replay]) -> list[ReplayView]:
    """What was asked for by id and is no dead letter, or none that fits the other fields."""
    there = {replay.run_id for replay in found}
    problems = ["there is no such dead letter, or it was resolved before, or the other fields do not fit it"]
    return [ReplayView(run, {}, None, problems) for run in dict.fromkeys(which.run_ids) if run not in there]


def _refuse_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_CHARS_MAX:
        accepted = f"1 to {REASON_CHARS_MAX} characters"
        raise Invalid("this is not accepted", [Problem("the reason cannot be kept", "/reason", suggestion=accepted)])
