"""
Routes of the queues and limits facets.
"""

from __future__ import annotations

import msgspec

from etlplus.jobs.queues import Limit, LimitDraft, Queue, QueueCounts, QueueDraft, Slots, check_limit
from etlplus.jobs.rates import Rate
from etlplus.service.views import Page
from etlplus.web.routes.table import API, Route


class QueueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a queue allows. ``slots`` bounds how many of its runs are carried at once; null: as many as workers can."""

    slots: Slots | None = None


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each key of a limit allows: ``slots`` runs at once, no more of them begun than ``rate`` says, or both."""

    slots: Slots | None = None
    rate: Rate | None = None

    def __post_init__(self) -> None:
        check_limit(self.slots, self.rate)


ROUTES: tuple[Route, ...] = (
    Route("GET", f"{API}/queues", "queues.list", lambda s, r: s.queues.list(), Page[QueueCounts],
          "Every queue with how much waits in it", "queues:read"),
    Route("GET", f"{API}/queues/<queue>", "queues.get", lambda s, r: s.queues.get(r.path["queue"]), QueueCounts,
          "One queue", "queues:read"),
    Route("PUT", f"{API}/queues/<queue>", "queues.save",
          lambda s, r: s.queues.save(QueueDraft(name=r.path["queue"], slots=r.body.slots)), Queue,
          "Make a queue, or change what it allows", "queues:write", body=QueueSettings),
    Route("DELETE", f"{API}/queues/<queue>", "queues.delete", lambda s, r: s.queues.delete(r.path["queue"]), None,
          "Forget a queue that is empty and unused", "queues:write", status=204),
    Route("POST", f"{API}/queues/<queue>/pause", "queues.pause", lambda s, r: s.queues.pause(r.path["queue"]), Queue,
          "Give out no more runs; new ones come in and wait", "queues:pause", keyed=True),
    Route("POST", f"{API}/queues/<queue>/resume", "queues.resume", lambda s, r: s.queues.resume(r.path["queue"]), Queue,
          "Give out runs again, and accept new ones", "queues:pause", keyed=True),
    Route("POST", f"{API}/queues/<queue>/drain", "queues.drain", lambda s, r: s.queues.drain(r.path["queue"]), Queue,
          "Accept no more runs, and carry those that are there", "queues:pause", keyed=True),
    Route("GET", f"{API}/limits", "limits.list", lambda s, r: s.limits.list(), Page[Limit],
          "Every limit", "queues:read"),
    Route("PUT", f"{API}/limits/<limit>", "limits.save",
          lambda s, r: s.limits.save(LimitDraft(name=r.path["limit"], slots=r.body.slots, rate=r.body.rate)), Limit,
          "Make a limit, or change what each of its keys allows", "queues:write", body=LimitSettings),
    Route("DELETE", f"{API}/limits/<limit>", "limits.delete", lambda s, r: s.limits.delete(r.path["limit"]), None,
          "Forget a limit that nothing uses", "queues:write", status=204),
)  # fmt: skip
