"""What goes wrong around a load is named, says whether trying again helps, and leaves the destinations whole."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import random
import resource
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from etlplus.connectors import parquet_file, sqlite_table
from etlplus.engines.control import Interrupted, LoadFailed
from etlplus.engines.load import check, load


def failure(order: Any, control: Any) -> tuple[str, bool, str]:
    with pytest.raises(LoadFailed) as failed:
        load(order, control)
    return failed.value.error.code, failed.value.error.retryable, failed.value.error.message


def test_a_missing_source_is_unreadable(desk: Any, calm: Any) -> None:
    """A file that is not there may come; the message names it."""
    desk.source.unlink()
    code, retryable, message = failure(desk.order(), calm)
    assert (code, retryable) == ("source_unreadable", True)
    assert "orders.csv" in message


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_unreadable(desk: Any, calm: Any, kind: str) -> None:
    """Nobody waits for the end of something that has none, neither the load nor the check before it."""
    desk.source.unlink()
    match kind:
        case "folder":
            desk.source.mkdir()
        case "pipe":
            os.mkfifo(desk.source)
        case _:
            desk.source = Path("/dev/zero")
    assert failure(desk.order(), calm) == ("source_unreadable", False, f"{desk.source} cannot be read: it is no file")
    assert check(desk.order()) == ()


def test_a_path_that_no_system_takes_is_refused(desk: Any, calm: Any) -> None:
    """A NUL character is told with its parameter, or with its place in the plan."""
    code, _, message = failure(desk.order(params=desk.order().params | {"orders": "a\0b"}), calm)
    assert (code, "/params/orders" in message) == ("invalid_params", True)
    desk.plan = desk.plan | {"sources": {"orders": {"type": "csv", "path": "a\0b"}}}
    (problem,) = check(desk.order())
    assert problem.pointer == "/sources/orders/path"


def test_a_broken_archive_is_unreadable(desk: Any, calm: Any) -> None:
    """A zip that is none will not become one."""
    desk.source = desk.source.rename(desk.folder / "orders.zip")
    assert failure(desk.order(), calm)[:2] == ("source_unreadable", False)


@pytest.mark.parametrize("change", [("5,b,50\n", ""), ("5,b,50", "5,c,51")], ids=["shorter", "as long"])
def test_a_changed_source_is_not_read_by_a_second_attempt(
    desk: Any, calm: Any, expected: Any, change: tuple[str, str]
) -> None:
    """A retry reads what the first attempt froze, or says that it cannot."""
    load(desk.order(), calm)
    assert (desk.rows(), desk.totals()) == expected
    assert calm.frozen is not None
    desk.source.write_text(desk.source.read_text().replace(*change))
    code, retryable, _ = failure(desk.order("run2", bounds=calm.frozen), calm)
    assert (code, retryable) == ("source_changed", False)
    assert desk.rows() == expected[0]


def test_a_source_that_was_not_bound_is_not_read_by_a_second_attempt(desk: Any, calm: Any) -> None:
    """The run began with another file, whatever its source was called then."""
    load(desk.order(), calm)
    frozen = {"others": calm.frozen["orders"]}
    assert failure(desk.order("run2", bounds=frozen), calm)[:2] == ("source_changed", False)


@pytest.mark.parametrize("change", [("5,b,50\n", ""), ("5,b,50", "5,c,51")], ids=["shorter", "as long"])
@pytest.mark.parametrize("moment", ["looked at", "bound"])
def test_a_source_that_changes_under_the_reader_is_noticed(
    desk: Any, calm: Any, monkeypatch: pytest.MonkeyPatch, moment: str, change: tuple[str, str]
) -> None:
    """Bytes that were not frozen are never loaded, also when they come right after the checksum was taken."""

    def write(*_: Any) -> None:
        desk.source.write_text(desk.source.read_text().replace(*change))

    digest = hashlib.file_digest

    def digest_and_write(*words: Any) -> Any:
        try:
            return digest(*words)
        finally:
            write()

    if moment == "bound":
        calm.freeze = write
    else:
        monkeypatch.setattr(hashlib, "file_digest", digest_and_write)
    assert failure(desk.order(), calm)[0] == "source_changed"
    assert not desk.database.exists()


def test_a_locked_destination_is_unavailable(desk: Any, calm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer's lock ends the attempt after the waiting time, and the next attempt may succeed."""
    monkeypatch.setattr(sqlite_table, "LOCKED_S", 0.05)
    with closing(sqlite3.connect(desk.database, isolation_level=None)) as other:
        other.execute("create table theirs (x)")
        calm.on_fault = lambda point: (
            other.execute("begin exclusive") and None if point == "before_commit:rows" else None
        )
        code, retryable, message = failure(desk.order(), calm)
    assert (code, retryable) == ("destination_unavailable", True)
    assert "locked" in message
    assert len(load(desk.order(attempt=2), type(calm)()).sinks) == 2


@pytest.mark.parametrize("point", ["", "before_commit:sums"])
def test_a_locked_parquet_file_is_unavailable(
    desk: Any, calm: Any, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """A publisher that holds the lock too long, when the load begins or when it commits, is not waited for."""
    monkeypatch.setattr(parquet_file, "LOCKED_S", 0.05)
    with Path(f"{desk.sums}.lock").open("ab") as lock:

        def hold(at: str) -> None:
            if at == point:
                fcntl.flock(lock, fcntl.LOCK_EX)

        calm.on_fault = hold
        hold("")
        assert failure(desk.order(), calm)[:2] == ("destination_unavailable", True)
    assert not desk.sums.exists()


@pytest.mark.parametrize("point", ["", "before_stage:sums", "before_commit:rows", "before_commit:sums"])
def test_a_vanished_folder_is_unavailable(desk: Any, calm: Any, point: str) -> None:
    """A folder that goes away, at the start or in the middle, is a failure that a retry may outlive."""

    def vanish(at: str) -> None:
        if at == point:
            desk.out.rename(desk.folder / "elsewhere")

    calm.on_fault = vanish
    vanish("")
    assert failure(desk.order(), calm)[:2] == ("destination_unavailable", True)


@pytest.mark.parametrize("sink", [0, 1])
def test_a_folder_that_is_not_there_is_told_before_anything_is_read(desk: Any, calm: Any, sink: int) -> None:
    """Whichever kind of destination it is of."""
    desk.plan = desk.plan | {"sinks": [desk.plan["sinks"][sink]]}
    desk.out.rmdir()
    assert failure(desk.order(), calm)[:2] == ("destination_unavailable", True)
    assert calm.frozen is None


def test_a_full_database_is_full(desk: Any, calm: Any, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite without room for the new rows keeps the old ones."""
    load(desk.order(), calm)
    desk.source.write_text("id,shop,price\n" + "".join(f"{n},{'x' * 200},1\n" for n in range(2, 2000)))
    opened = sqlite_table.connect

    def small(path: Path) -> sqlite3.Connection:
        db = opened(path)
        if path == desk.database:
            db.execute("pragma max_page_count = 8")
        return db

    monkeypatch.setattr(sqlite_table, "connect", small)
    assert failure(desk.order("run2"), calm)[:2] == ("destination_full", True)
    assert (desk.rows(), desk.totals()) == expected


def test_a_full_disk_is_full(desk: Any, calm: Any) -> None:
    """A Parquet file that the system refuses to let grow is removed, and nothing is published."""
    desk.plan = desk.plan | {"sinks": [{"id": "sums", "type": "parquet", "input": "valid", "path": {"param": "sums"}}]}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def shrink(point: str) -> None:
        if point == "before_stage:sums":
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))

    calm.on_fault = shrink
    try:
        result = failure(desk.order(), calm)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result[:2] == ("destination_full", True)
    assert [file.name for file in desk.out.iterdir()] == ["sums.parquet.lock"]


def test_a_destination_that_filled_the_disk_gives_the_room_back(desk: Any, calm: Any, expected: Any) -> None:
    """SQLite leaves the file grown, and its undoing to whoever opens it next, which would be nobody on a full disk."""
    load(desk.order(), calm)
    small = desk.database.stat().st_size
    desk.source.write_text("id,shop,price\n" + "".join(f"{n},{'x' * 500},1\n" for n in range(2, 20_000)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def shrink(point: str) -> None:
        if point == "before_commit:rows":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))

    calm.on_fault = shrink
    try:
        result = failure(desk.order("run2"), calm)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result[:2] == ("destination_unavailable", True)  # a limit is no full disk, but leaves the same behind
    assert sorted(file.name for file in desk.database.parent.glob(f"{desk.database.name}*")) == [desk.database.name]
    assert desk.database.stat().st_size == small
    assert (desk.rows(), desk.totals()) == expected


def test_an_archive_that_finds_no_room_is_not_called_unreadable(desk: Any, calm: Any) -> None:
    """It is unpacked into our own folder, and that is where the operator must look."""
    desk.source = desk.source.rename(desk.folder / "orders.csv.gz")
    content = b"id,shop,price\n" + random.Random(1).randbytes(100_000).hex().encode()
    desk.source.write_bytes(gzip.compress(content))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        code, retryable, message = failure(desk.order(), calm)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (code, retryable) == ("internal", True)
    assert "the data directory failed: [Errno 27] File too large" in message


def test_without_room_for_the_rejects_nothing_is_committed(desk: Any, calm: Any, expected: Any) -> None:
    """A commit may not outlive its rejects, so no room for these means no commit; with room again, the retry is exact."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    desk.plan = desk.plan | {"sinks": desk.plan["sinks"][:1]}

    def shrink(point: str) -> None:
        if point == "after_stage:rows":
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))

    calm.on_fault = shrink
    try:
        code, retryable, message = failure(desk.order(), calm)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (code, retryable) == ("internal", True)
    assert "the data directory failed: [Errno 27] File too large" in message
    assert not desk.database.exists()
    figures = load(desk.order(attempt=2), type(calm)())
    assert (desk.rows(), figures.rows_quarantined) == (expected[0], 1)


def test_something_that_is_no_database_will_not_become_one(desk: Any, calm: Any) -> None:
    """A retry cannot help when the destination is another kind of file; the file is left alone."""
    desk.database.write_text("precious notes " * 100)
    assert failure(desk.order(), calm)[:2] == ("destination_unavailable", False)
    assert desk.database.read_text().startswith("precious notes")


def test_a_rule_that_fails_ends_the_load_with_its_count(desk: Any, calm: Any) -> None:
    """The action ``fail`` commits nothing and says how many rows broke which rule."""
    rule = {"id": "cheap", "check": "price < 50", "action": "fail"}
    filtered, _, _ = desk.plan["steps"]
    steps = [filtered, {"id": "valid", "type": "validate", "input": "big", "rules": [rule]}]
    desk.plan = desk.plan | {"steps": steps, "sinks": desk.plan["sinks"][:1]}
    code, retryable, message = failure(desk.order(), calm)
    assert (code, retryable) == ("data_error", False)
    assert "'cheap' is broken by 2 rows" in message
    assert not desk.database.exists()


def test_a_lookup_that_doubles_rows_cannot_be_committed(desk: Any, calm: Any) -> None:
    """A broken ledger keeps every sink from committing."""
    join = {"id": "j", "type": "join", "input": "orders", "with": "orders", "on": {"shop": "shop"}, "take": {"o": "id"}}
    sink = desk.plan["sinks"][0] | {"input": "j"}
    desk.plan = desk.plan | {"steps": [join], "sinks": [sink]}
    assert failure(desk.order(), calm)[0] == "ledger_mismatch"
    assert not desk.database.exists()


def test_once_the_sources_are_read_sql_reaches_no_file(desk: Any, calm: Any) -> None:
    """Whatever got past the check of expressions: neither files nor settings are within reach, and this cannot be taken back."""
    connections: list[duckdb.DuckDBPyConnection] = []
    calm.on_interrupt = lambda interrupt: connections.append(interrupt.__self__)
    refused: list[str] = []

    def reach(point: str) -> None:
        if point != "before_stage:rows":
            return
        for statement in (f"select * from read_text('{desk.source}')", "set enable_external_access = true"):
            try:
                connections[0].execute(statement)
            except duckdb.Error:
                refused.append(statement)

    calm.on_fault = reach
    load(desk.order(), calm)
    assert len(refused) == 2


def test_a_parameter_without_a_value_is_named(desk: Any, calm: Any) -> None:
    """A load cannot begin without its paths."""
    code, _, message = failure(desk.order(params={"orders": "x"}), calm)
    assert code == "invalid_params"
    assert "'db'" in message


def test_two_sinks_in_one_place_are_refused(desk: Any, calm: Any) -> None:
    """They would overwrite each other; nothing is written."""
    main = desk.plan["sinks"][0]
    desk.plan = desk.plan | {"sinks": [main, main | {"id": "again"}]}
    code, _, message = failure(desk.order(), calm)
    assert code == "invalid_plan"
    assert "'rows' and 'again'" in message


@pytest.mark.slow
def test_a_running_query_can_be_interrupted(desk: Any, calm: Any) -> None:
    """The callback ends a query of hundreds of millions of rows from another thread, as Interrupted, not as a failure."""
    desk.source.write_text("id,shop,price\n" + "2,a,1\n" * 30_000)
    join = {"id": "j", "type": "join", "input": "orders", "with": "orders", "on": {"shop": "shop"}, "take": {"o": "id"}}
    desk.plan = desk.plan | {"steps": [join], "sinks": [desk.plan["sinks"][0] | {"input": "j"}]}
    over = threading.Event()
    callbacks: list[Any] = []
    calm.on_interrupt = callbacks.append

    def insist() -> None:
        while not over.wait(0.05):  # an interrupt between two queries stops neither
            callbacks[0]()

    thread = threading.Thread(target=insist)
    calm.report = lambda told: thread.start() if told.phase == "transforming" and not thread.ident else None
    try:
        with pytest.raises(Interrupted):
            load(desk.order(), calm)
    finally:
        over.set()
        thread.join()
    assert not desk.database.exists()
