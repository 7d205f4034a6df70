"""A row that cannot be read is set aside with its bytes, its place and what was wrong; the others keep their places."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from etlplus.engines.control import LoadFailed
from etlplus.engines.load import check, load

SINK = {"id": "rows", "type": "sqlite", "input": "orders", "path": {"param": "db"}, "table": "orders"}


def plain(desk: Any, content: bytes, *, rules: bool = False, **source: Any) -> Any:
    """The desk with a plan that copies its source, whose ids and prices shall be numbers."""
    desk.source.write_bytes(content)
    csv_source = desk.plan["sources"]["orders"] | {"columns": {"id": "INTEGER", "price": "INTEGER"}} | source
    steps = [{"id": "valid", "type": "validate", "input": "orders", "rules": [{"id": "cheap", "check": "price < 50"}]}]
    desk.plan = {
        "name": "orders",
        "sources": {"orders": csv_source},
        "steps": steps if rules else [],
        "sinks": [SINK | {"input": "valid" if rules else "orders"}],
    }
    return desk


def rejects(figures: Any) -> list[tuple[int, list[str], str]]:
    lines = map(json.loads, Path(figures.rejects_file).read_bytes().splitlines())
    return [(line["position"], line["reasons"], line["raw"]) for line in lines]


def test_what_cannot_be_read_is_quarantined_beside_what_breaks_a_rule(desk: Any, calm: Any) -> None:
    """Every kind of unreadable row; the balance counts them, and a rule's reject after them has its true position."""
    content = (
        b'id,shop,price\n1,a,10\n2,b,dear\n\n3,c\n4,d,1,2\nfive,"e\ne",six\n6,"f"f,6\n7,\xff,7\n8,"h\nh",80\n9,i,9\n'
    )
    figures = load(plain(desk, content, rules=True).order(), calm)
    assert [(position, reasons) for position, reasons, _ in rejects(figures)] == [
        (2, ["cast:price"]),
        (3, ["columns:missing"]),
        (4, ["columns:too_many"]),
        (5, ["cast:id", "cast:price"]),
        (6, ["quotes:shop"]),
        (7, ["encoding:shop"]),
        (8, ["cheap"]),
    ]
    raw = [line for _, _, line in rejects(figures)]
    assert raw[:4] == ["2,b,dear", "3,c", "4,d,1,2", 'five,"e\ne",six']
    assert (figures.rows_read, figures.rows_loaded, figures.rows_quarantined) == (9, 2, 7)
    assert desk.rows() == [(1, "a", 10), (9, "i", 9)]
    assert figures.broken_rules["cast:price"] == 2
    assert (figures.steps[0].kind, figures.steps[0].quarantined) == ("read", 6)


def test_rows_between_those_that_cannot_be_read_keep_their_places(desk: Any, calm: Any) -> None:
    """Right before one, between two, and right after the last."""
    content = b"id,shop,price\n1,a,80\n2,b,dear\n3,c,80\n4,d,dear\n5,e,dear\n6,f,80\n7,g,7\n"
    figures = load(plain(desk, content, rules=True).order(), calm)
    found = [(position, reasons[0], raw[:1]) for position, reasons, raw in rejects(figures)]
    cheap, cast = "cheap", "cast:price"
    assert found == [(1, cheap, "1"), (2, cast, "2"), (3, cheap, "3"), (4, cast, "4"), (5, cast, "5"), (6, cheap, "6")]
    assert desk.rows() == [(7, "g", 7)]


def test_a_source_may_insist_on_readable_rows(desk: Any, calm: Any) -> None:
    """``unparsable: fail`` ends the load with row, column and value, and nothing is written."""
    desk = plain(desk, b"id,shop,price\n1,a,10\n2,b,dear\n", unparsable="fail")
    with pytest.raises(LoadFailed) as failed:
        load(desk.order(), calm)
    error = failed.value.error
    assert (error.code, error.retryable) == ("data_error", False)
    assert "row 2" in error.problems[0]
    assert "dear" in error.problems[0]
    assert not desk.database.exists()


@pytest.mark.parametrize("content", [b"id,shop,price\nx,a,1\ny,b,2\n", b"id,shop,price\n1\n2\n"])
def test_a_source_of_which_nothing_can_be_read_fails(desk: Any, calm: Any, content: bytes) -> None:
    """The wrong file does not empty a destination."""
    load(plain(desk, b"id,shop,price\n1,a,10\n").order(), calm)
    desk.source.write_bytes(content)
    with pytest.raises(LoadFailed, match="none of 2 rows"):
        load(desk.order("run2"), calm)
    assert desk.rows() == [(1, "a", 10)]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "data_error"),
        (b'id,shop,price\n1,a,10\n2,"b,20\n3,c,30\n', "data_error"),
        (bytes(range(256)) * 20, "invalid_plan"),  # whose columns the plan's are not
    ],
)
def test_what_is_no_csv_at_all_fails_in_a_sentence(desk: Any, calm: Any, content: bytes, code: str) -> None:
    """No header, a quote that is never closed, a picture: told in one line, and nothing is written."""
    with pytest.raises(LoadFailed) as failed:
        load(plain(desk, content).order(), calm)
    assert failed.value.error.code == code
    assert failed.value.error.message.startswith(("source 'orders'", "the pipeline does not fit its data"))
    assert not desk.database.exists()


def test_a_check_does_not_mind_rows(desk: Any) -> None:
    """Unreadable rows are the data's matter, not the plan's."""
    assert check(plain(desk, b"id,shop,price\n1,a,10\n2,b,dear\n3\n").order()) == ()


def test_a_wrong_type_of_a_column_is_the_plans_mistake(desk: Any) -> None:
    """A type that DuckDB does not know is told before anything runs."""
    (problem,) = check(plain(desk, b"id,shop,price\n1,a,10\n", columns={"price": "MONEYS"}).order())
    assert (problem.pointer, "MONEYS" in problem.message) == ("/sources/orders", True)


def noisy(rng: Random, rows: int) -> tuple[bytes, list[tuple[int, str, int]], dict[int, bytes]]:
    """A file with some bad rows; the good ones as they shall be loaded, and the bad ones by position."""
    good: list[tuple[int, str, int]] = []
    bad: dict[int, bytes] = {}
    content = bytearray(b"id,shop,price\r\n")
    for position in range(1, rows + 1):
        shop = "".join(rng.choice('ab",\r\n é') for _ in range(rng.randrange(6))) or "x"
        row: list[Any] = [position, shop, rng.randrange(100)]
        kind = rng.random()
        if kind < 0.1:
            row[rng.choice([0, 2])] = "no number"
        elif kind < 0.13:
            row.append("more")
        elif kind < 0.16:
            row = row[:2]
        else:
            good.append((row[0], row[1], row[2]))
        text = io.StringIO(newline="")
        csv.writer(text).writerow(row)
        line = text.getvalue().encode().removesuffix(b"\r\n")
        if kind < 0.16:
            bad[position] = line
        content += line + b"\r\n" * (1 if rng.random() < 0.95 else 2)
    return bytes(content), good, bad


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "rows"), [(1, 60), (2, 60), (3, 60), (4, 2000), (5, 40_000)])
def test_noise_in_a_file_changes_neither_the_other_rows_nor_their_places(
    desk: Any, calm: Any, seed: int, rows: int
) -> None:
    """Seeded files with bad rows among quotes, line breaks and blank lines: exactly the bad ones, with their bytes."""
    content, good, bad = noisy(Random(seed), rows)
    figures = load(plain(desk, content).order(), calm)
    with closing(sqlite3.connect(desk.database)) as db:
        loaded = db.execute("select id, shop, price from orders order by rowid").fetchall()
    assert loaded == good
    assert {position: raw.encode() for position, _, raw in rejects(figures)} == bad
    assert (figures.rows_read, figures.rows_quarantined) == (rows, len(bad))
