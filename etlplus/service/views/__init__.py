"""
What the service shows: the records that people and programs receive, over REST, WebSocket, the command line and in process.

Views hold no secrets and no internals. They are plain msgspec structs, so that the web room only has to encode them and the
client only has to decode them.
"""

from __future__ import annotations

from etlplus.service.views.house import CheckView, HealthView, HorizonView, LaneView, StatusView, StoreView
from etlplus.service.views.jobs import JobView, job_view
from etlplus.service.views.letters import Discarded, LetterView, Replays, ReplayView
from etlplus.service.views.pages import Page
from etlplus.service.views.people import Grant, UserView
from etlplus.service.views.runs import LogPage, Reject, RunDetail, RunsCancelled, RunsMade, Why
from etlplus.service.views.schedules import OccurrenceView, Preview, occurrence_views

__all__ = [
    "CheckView",
    "Discarded",
    "Grant",
    "HealthView",
    "HorizonView",
    "JobView",
    "LaneView",
    "LetterView",
    "LogPage",
    "OccurrenceView",
    "Page",
    "Preview",
    "Reject",
    "ReplayView",
    "Replays",
    "RunDetail",
    "RunsCancelled",
    "RunsMade",
    "StatusView",
    "StoreView",
    "UserView",
    "Why",
    "job_view",
    "occurrence_views",
]
