"""
The service in process: all facets over one house, for one principal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from etlplus.jobs.receipts import Once
from etlplus.service.events import EventsFacet
from etlplus.service.house import House
from etlplus.service.identity import IdentityFacet
from etlplus.service.jobs import JobsFacet
from etlplus.service.letters import LettersFacet
from etlplus.service.limits import LimitsFacet
from etlplus.service.permissions import OWNER, Principal
from etlplus.service.queues import QueuesFacet
from etlplus.service.receipts import ReceiptsFacet
from etlplus.service.runs import RunsFacet
from etlplus.service.schedules import SchedulesFacet
from etlplus.service.system import SystemFacet


@dataclass(frozen=True, slots=True)
class Service:
    """What ``open_service`` gives; see ``contract.Contract``. ``who`` is the program itself until somebody signs in."""

    house: House
    who: Principal = OWNER

    @property
    def jobs(self) -> JobsFacet:
        return JobsFacet(self.house, self.who)

    @property
    def runs(self) -> RunsFacet:
        return RunsFacet(self.house, self.who)

    @property
    def letters(self) -> LettersFacet:
        return LettersFacet(self.house, self.who)

    @property
    def queues(self) -> QueuesFacet:
        return QueuesFacet(self.house, self.who)

    @property
    def limits(self) -> LimitsFacet:
        return LimitsFacet(self.house, self.who)

    @property
    def schedules(self) -> SchedulesFacet:
        return SchedulesFacet(self.house, self.who)

    @property
    def identity(self) -> IdentityFacet:
        return IdentityFacet(self.house, self.who)

    @property
    def system(self) -> SystemFacet:
        return SystemFacet(self.house, self.who)

    @property
    def events(self) -> EventsFacet:
        return EventsFacet(self.house, self.who)

    @property
    def receipts(self) -> ReceiptsFacet:
        return ReceiptsFacet(self.house, self.who)

    def acting_as(self, who: Principal) -> Service:
        """The same service, as somebody else."""
        return Service(self.house, who)

    def once(self, request: Once) -> Service:
        """The same service, for the deed of one request that takes effect once."""
        return Service(replace(self.house, store=self.house.store.once(request)), self.who)
