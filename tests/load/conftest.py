"""A small load on real files: five orders, one of which is refused, into a SQLite table and a Parquet file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from etlplus.engines.order import LoadOrder
from etlplus.jobs.outcome import Progress

PLAN: dict[str, Any] = {
    "name": "orders",
    "sources": {"orders": {"type": "csv", "path": {"param": "orders"}, "nulls": ["", "NA"]}},
    "steps": [
        {"id": "big", "type": "filter", "input": "orders", "where": "id > 1"},
        {"id": "valid", "type": "validate", "input": "big", "rules": [{"id": "priced", "check": "price is not null"}]},
        {"id": "sums", "type": "aggregate", "input": "valid", "by": ["shop"], "columns": {"total": "sum(price)"}},
    ],
    "sinks": [
        {"id": "rows", "type": "sqlite", "input": "valid", "path": {"param": "db"}, "table": "orders"},
        {"id": "sums", "type": "parquet", "input": "sums", "path": {"param": "sums"}},
    ],
}
ORDERS = 'id,shop,price\n1,a,10\n2,a,20\n3,"b, ""the\nsecond""",NA\n4,b,40\n5,b,50\n'


class Calm:
    """A control that lets everything pass and remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[Progress] = []
        self.frozen: dict[str, Any] | None = None
        self.points: list[str] = []
        self.on_fault: Callable[[str], None] = lambda point: None
        self.on_check: Callable[[], None] = lambda: None

    def report(self, progress: Progress) -> None:
        self.heard.append(progress)

    def freeze(self, bounds: dict[str, Any]) -> None:
        self.frozen = bounds

    def check(self) -> None:
        self.on_check()

    def on_interrupt(self, callback: Callable[[], None]) -> None:
        pass

    def fault(self, point: str) -> None:
        self.points.append(point)
        self.on_fault(point)


class Desk:
    """Gives orders for the small load, and looks at what lies in its destinations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "orders.csv"
        self.source.write_text(ORDERS)
        os.utime(self.source, (0, 0))  # two changes within one tick of the file system's clock could not be told apart
        self.out = folder / "out"
        self.out.mkdir()
        self.database = self.out / "shop.db"
        self.sums = self.out / "sums.parquet"
        self.plan = PLAN

    def order(self, run: str = "run1", attempt: int = 1, **changes: Any) -> LoadOrder:
        work = self.folder / f"work.{run}.{attempt}"
        work.mkdir(exist_ok=True)
        paths = {"orders": str(self.source), "db": str(self.database), "sums": str(self.sums)}
        known: dict[str, Any] = {
            "run_id": run, "attempt": attempt, "job_id": "job", "job_name": "orders", "plan": self.plan,
            "work_dir": str(work), "rejects_dir": str(self.folder / "rejects"), "memory_limit_bytes": 256 << 20,
            "params": paths,
        }  # fmt: skip
        return LoadOrder(**(known | changes))

    def rows(self) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as db:
            return db.execute("select * from orders order by id").fetchall()

    def totals(self) -> dict[str, int]:
        found = parquet.read_table(self.sums).to_pydict()
        return {shop: int(total) for shop, total in zip(found["shop"], found["total"], strict=True)}


LOADED = [(2, "a", 20), (4, "b", 40), (5, "b", 50)]
TOTALS = {"a": 20, "b": 90}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def calm() -> Calm:
    return Calm()


@pytest.fixture
def expected() -> tuple[list[tuple[Any, ...]], dict[str, int]]:
    return LOADED, TOTALS
