"""
What every store promises, in five parts: write, read, lease, node, admin.

The service gets the write and read parts, the staff gets the lease and node parts, whoever runs the house the admin part.
Each call is one unit: it takes effect completely or not at all, and when it returns, what it did survives a crash. The
time is always passed in as ``now``; what a store does goes by no clock of its own. Every transition writes its ``RunEvent``
in the same unit, and a call makes at most one transition of any one run, so the versions that a caller sees of a run have
no gaps.

Cancellation: every call is a cancel point. A cancelled unit may have taken effect, but never half of it, and it leaves
no connection, lock or transaction behind. Any call raises ``StoreUnavailable`` when the store is closed or cannot
answer.
"""

from __future__ import annotations

from typing import Protocol

from etlplus.jobs.receipts import Once
from etlplus.store.contract.admin import AdminStore
from etlplus.store.contract.leasing import LeaseStore
from etlplus.store.contract.nodes import NodeStore
from etlplus.store.contract.reading import ReadStore
from etlplus.store.contract.records import (
    Beat,
    Bulletin,
    Bulletins,
    Claimed,
    Counts,
    HandedOver,
    Hint,
    Horizon,
    Outcome,
    RunFilter,
    Scheduled,
    Settled,
    Statistics,
    Swept,
    Taken,
    Unfinished,
)
from etlplus.store.contract.writing import WriteStore

__all__ = [
    "AdminStore",
    "Beat",
    "Bulletin",
    "Bulletins",
    "Claimed",
    "Counts",
    "HandedOver",
    "Hint",
    "Horizon",
    "LeaseStore",
    "NodeStore",
    "Outcome",
    "ReadStore",
    "RunFilter",
    "Scheduled",
    "Settled",
    "Statistics",
    "Store",
    "Swept",
    "Taken",
    "Unfinished",
    "WriteStore",
]


class Store(WriteStore, ReadStore, LeaseStore, NodeStore, AdminStore, Protocol):
    """The whole contract, as ``open_store`` gives it."""

    def once(self, request: Once) -> Store:
        """The same store for the deed of one request: the unit that writes leaves the receipt of the request, or changes
        nothing and raises Conflict (code ``already_done``) because the key has one. Runs that it makes are named there.
        """
        ...
