"""The exam on the logs of attempts: kept in order, by the attempt that holds the run, up to a bound."""

from __future__ import annotations

import pytest

from etlplus.jobs.logs import LINE_CHARS_MAX, LOG_BYTES_MAX, LogState, NewLine, fitted
from etlplus.jobs.outcome import Returned
from etlplus.store.contract import Claimed, Store
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, at, some_runs, told


async def in_hand(store: Store) -> Claimed:
    await some_runs(store, await a_job(store))
    await a_worker(store)
    (claimed,) = await a_claim(store)
    return claimed


async def test_a_log_is_kept_in_order_and_read_from_any_line(store: Store) -> None:
    """Numbered from 1 over all calls; read page by page, from the end, and by what a line says."""
    run_id = (await in_hand(store)).run.id
    await store.append_log(
        run_id, 1, "w", [NewLine(at(0), "Reading a.csv"), NewLine(at(1), "bad row", "warning")], now=NOW
    )
    state = await store.append_log(run_id, 1, "w", [NewLine(at(2), "reading B.csv, 100 % done")], now=NOW)
    assert state == LogState(3, 45, 0) == await store.log_state(run_id, 1)
    lines = await store.log(run_id, 1)
    assert [(line.number, line.at, line.level, line.text) for line in lines] == [
        (1, at(0), "info", "Reading a.csv"), (2, at(1), "warning", "bad row"), (3, at(2), "info", "reading B.csv, 100 % done"),
    ]  # fmt: skip
    assert [line.number for line in await store.log(run_id, 1, after=1, limit=1)] == [2]
    assert [line.number for line in await store.log_tail(run_id, 1, limit=2)] == [2, 3]
    assert [line.number for line in await store.log(run_id, 1, search="READING")] == [1, 3]
    assert [line.number for line in await store.log(run_id, 1, search="%")] == [3]
    assert await store.log(run_id, 2) == []


async def test_only_who_holds_the_run_writes_its_log(store: Store) -> None:
    """Another worker, another attempt, or one that has ended: nothing is kept; each attempt has a log of its own."""
    claimed = await in_hand(store)
    run_id = claimed.run.id
    line = [NewLine(NOW, "x")]
    assert await store.append_log(run_id, 1, "other", line, now=NOW) is None
    assert await store.append_log(run_id, 2, "w", line, now=NOW) is None
    assert await store.append_log(run_id, 1, "w", line, now=NOW) == LogState(1, 1, 0)
    await told(store, claimed, Returned("drain"))
    assert await store.append_log(run_id, 1, "w", line, now=NOW) is None
    (again,) = await a_claim(store)
    assert await store.append_log(run_id, 2, "w", line, now=NOW) == LogState(1, 1, 0)
    await told(store, again, DONE)
    assert len(await store.log(run_id, 1)) == len(await store.log(run_id, 2)) == 1


async def test_characters_that_no_table_keeps_are_shown(store: Store) -> None:
    """A NUL and half of a surrogate pair do not cost the line."""
    run_id = (await in_hand(store)).run.id
    await store.append_log(run_id, 1, "w", [NewLine(NOW, "a\0b\ud800c")], now=NOW)
    assert [line.text for line in await store.log(run_id, 1)] == ["a�b?c"]


@pytest.mark.slow
async def test_a_log_has_a_bound(store: Store) -> None:
    """What is above is counted; the beginning stays, without holes."""
    run_id = (await in_hand(store)).run.id
    many = [NewLine(NOW, "x" * 9_999)] * 300
    await store.append_log(run_id, 1, "w", many, now=NOW)
    state = await store.append_log(run_id, 1, "w", [*many, NewLine(NOW, "short")], now=NOW)
    assert state is not None
    assert state.kept_bytes <= LOG_BYTES_MAX
    assert (state.lines, state.dropped) == (601, 601 - LOG_BYTES_MAX // 9_999)
    (last,) = await store.log_tail(run_id, 1, limit=1)
    assert last.number == LOG_BYTES_MAX // 9_999


def test_a_long_line_is_cut_and_says_so() -> None:
    """It fits the bound, the mark included."""
    (line,), state = fitted([NewLine(NOW, "é" * (LINE_CHARS_MAX + 1))], LogState())
    assert len(line.text) == LINE_CHARS_MAX
    assert line.text.endswith("… (cut)")
    assert state.kept_bytes == len(line.text.encode())
