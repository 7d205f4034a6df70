"""However an attempt dies or dawdles, its run's rows are in every destination once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from etlplus.engines.control import Interrupted, LoadFailed
from etlplus.engines.load import load
from etlplus.jobs.outcome import Figures

POINTS = [f"{when}:{sink}" for sink in ("rows", "sums") for when in (
    "before_stage", "after_stage", "before_commit", "after_commit",
)]  # fmt: skip
CHILD = """
import os, signal, sys
import msgspec
from etlplus.engines.load import load
from etlplus.engines.order import LoadOrder

class Killed:
    def report(self, progress): pass
    def freeze(self, bounds): pass
    def check(self): pass
    def on_interrupt(self, callback): pass
    def fault(self, point):
        if point == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGKILL)

load(msgspec.json.decode(sys.stdin.buffer.read(), type=LoadOrder), Killed())
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["replace", "append"])
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_attempt_leaves_nothing_half_done(desk: Any, calm: Any, expected: Any, point: str, mode: str) -> None:
    """After SIGKILL at any point, the second attempt ends with what an undisturbed load would have left."""
    main, side = desk.plan["sinks"]
    desk.plan = desk.plan | {"sinks": [main | {"mode": mode}, side]}
    order = msgspec.json.encode(desk.order())
    died = subprocess.run([sys.executable, "-c", CHILD, point], input=order, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    figures = load(desk.order(attempt=2), calm)
    assert (desk.rows(), desk.totals()) == expected
    committed_by = [sink.committed_by for sink in figures.sinks]
    assert committed_by == [1 if point in AFTER_ROWS else 2, 1 if point == "after_commit:sums" else 2]
    assert {passed.partition(":")[2] for passed in calm.points} == {
        sink.sink for sink in figures.sinks if sink.committed_by == 2
    }
    assert (figures.rows_read, figures.rows_loaded, figures.rows_quarantined, figures.rows_filtered) == (5, 3, 1, 1)
    assert Path(figures.rejects_file).exists()
    assert {f.name for f in desk.out.iterdir()} == {
        "shop.db", "sums.parquet", "sums.parquet.lock", "sums.parquet.manifest.json",
    }  # fmt: skip


AFTER_ROWS = {"after_commit:rows", "before_commit:sums", "after_commit:sums"}


@pytest.mark.parametrize("mode", ["replace", "append"])
@pytest.mark.parametrize("point", ["before_commit:rows", "before_commit:sums"])
def test_a_late_attempt_neither_doubles_nor_undoes(desk: Any, calm: Any, expected: Any, point: str, mode: str) -> None:
    """Attempt 1 sleeps right before a commit while attempt 2 completes; then it finds the work done and changes nothing."""
    main, side = desk.plan["sinks"]
    desk.plan = desk.plan | {"sinks": [main | {"mode": mode}, side]}
    held, go = threading.Event(), threading.Event()

    def hold(at: str) -> None:
        if at == point:
            held.set()
            assert go.wait(30)

    late = type(calm)()
    late.on_fault = hold
    ended: list[Figures] = []
    zombie = threading.Thread(target=lambda: ended.append(load(desk.order(attempt=1), late)))
    zombie.start()
    assert held.wait(30)
    second = load(desk.order(attempt=2), calm)
    before = desk.sums.read_bytes()
    go.set()
    zombie.join(30)
    assert (desk.rows(), desk.totals()) == expected
    assert desk.sums.read_bytes() == before
    (first,) = ended
    assert first.sinks == second.sinks
    assert first.sinks[1].committed_by == 2


def test_a_run_that_another_run_overtook_is_stale(desk: Any, calm: Any) -> None:
    """A commit by another run of the job between begin and commit makes the attempt stale; the newer data stay."""

    def overtake(point: str) -> None:
        if point == "before_commit:rows":
            desk.source.write_text("id,shop,price\n9,z,90\n")
            load(desk.order("run2"), type(calm)())

    calm.on_fault = overtake
    with pytest.raises(LoadFailed) as failed:
        load(desk.order("run1"), calm)
    assert failed.value.error.code == "stale"
    assert desk.rows() == [(9, "z", 90)]


def test_a_run_that_comes_back_after_the_next_run_does_not_append_again(desk: Any, calm: Any) -> None:
    """The proof of a commit outlives the following runs' commits."""
    main, side = desk.plan["sinks"]
    desk.plan = desk.plan | {"sinks": [main | {"mode": "append"}, side]}
    for run, attempt in (("run1", 1), ("run2", 1), ("run1", 2)):
        figures = load(desk.order(run, attempt), calm)
    assert [sink.committed_by for sink in figures.sinks] == [1, 1]
    assert len(desk.rows()) == 6


def test_a_run_that_is_loaded_already_reads_nothing(desk: Any, calm: Any, expected: Any) -> None:
    """Its source may have changed or gone since, and another run may have followed: it has succeeded all the same."""
    first = load(desk.order("run1"), calm)
    load(desk.order("run2"), type(calm)())
    desk.source.unlink()
    again = load(desk.order("run1", attempt=2, bounds=calm.frozen), type(calm)())
    assert (again.sinks, again.rows_read, again.rows_quarantined) == (first.sinks, 5, 1)
    assert (desk.rows(), desk.totals()) == expected


def test_an_interrupted_attempt_commits_nothing_more(desk: Any, calm: Any) -> None:
    """When the control interrupts right before a commit, the destination stays as it was."""

    def stop() -> None:
        if "before_commit:rows" in calm.points:
            raise Interrupted("cancelled")

    calm.on_check = stop
    with pytest.raises(Interrupted):
        load(desk.order(), calm)
    assert os.listdir(desk.out) == ["sums.parquet.lock"]  # noqa: PTH208 - names are all that is asked
