"""A refused row is kept with its own bytes, its place and every reason, whatever the file is packed in."""

from __future__ import annotations

import base64
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from etlplus.engines.control import LoadFailed
from etlplus.engines.load import load

RAW = '3,"b, ""the\nsecond""",NA'


def rejects(figures: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(figures.rejects_file).read_bytes().splitlines()]


@pytest.mark.parametrize("packing", ["csv", "zip", "gz"])
def test_a_reject_holds_the_bytes_of_its_row(desk: Any, calm: Any, expected: Any, packing: str) -> None:
    """Quotes, commas and line breaks inside a field included; rows are counted, not lines."""
    content = desk.source.read_bytes()
    if packing == "zip":
        desk.source = desk.folder / "orders.csv.zip"
        with zipfile.ZipFile(desk.source, "w") as archive:
            archive.writestr("orders.csv", content)
    elif packing == "gz":
        desk.source = desk.folder / "orders.csv.gz"
        desk.source.write_bytes(gzip.compress(content))
    figures = load(desk.order(attempt=7), calm)
    assert (desk.rows(), desk.totals()) == expected
    assert figures.rejects_file == str(desk.folder / "rejects" / "run1.7.ndjson")
    assert rejects(figures) == [
        {"source": "orders", "position": 3, "reasons": ["priced"], "raw": RAW, "encoding": "utf-8"}
    ]


def test_reasons_are_all_broken_rules_and_a_row_appears_once(desk: Any, calm: Any) -> None:
    """Two rules and two branches refuse the same row: one line. Rules that only warn are no reasons."""
    rules = [{"id": "priced", "check": "price > 10"}, {"id": "late", "check": "id > 2"}]
    warn = {"id": "odd", "check": "id < 0", "action": "warn"}
    steps = [
        {"id": "one", "type": "validate", "input": "orders", "rules": [*rules, warn]},
        {"id": "two", "type": "validate", "input": "orders", "rules": [{"id": "first", "check": "id <> 1"}]},
    ]
    desk.plan = desk.plan | {"steps": steps, "sinks": [desk.plan["sinks"][0] | {"input": "one"}]}
    found = {line["position"]: line["reasons"] for line in rejects(load(desk.order(), calm))}
    assert found == {1: ["first", "late", "priced"], 2: ["late"], 3: ["priced"]}


def test_blank_lines_and_unquoted_quotes_do_not_shift_positions(desk: Any, calm: Any) -> None:
    """What DuckDB skips or takes literally, the second pass skips or takes literally too."""
    desk.source.write_bytes(b'id,shop,price\r\n2,5" pipe,1\r\n\r\n3,b,NA\r\n4,"",\r\n')
    found = [(line["position"], line["raw"]) for line in rejects(load(desk.order(), calm))]
    assert found == [(2, "3,b,NA"), (3, '4,"",')]


def test_a_load_without_rejects_names_no_file(desk: Any, calm: Any) -> None:
    """No refused row, no file."""
    desk.source.write_text("id,shop,price\n2,a,20\n")
    assert load(desk.order(), calm).rejects_file == ""
    assert list((desk.folder / "rejects").iterdir()) == []


def test_a_source_that_changes_before_its_rejects_are_looked_up_is_noticed(desk: Any, calm: Any) -> None:
    """A reject would have the bytes of a row that was never judged; nothing is committed."""

    def change(point: str) -> None:
        if point == "after_stage:sums":
            desk.source.write_text(desk.source.read_text().replace("b, ", "B, "))

    calm.on_fault = change
    with pytest.raises(LoadFailed) as failed:
        load(desk.order(), calm)
    assert failed.value.error.code == "source_changed"
    assert not desk.database.exists()


def test_records_that_are_not_those_that_were_read_are_noticed(desk: Any, calm: Any) -> None:
    """What the second pass over the bytes finds must be as many records as were read; nothing is committed."""
    packed = desk.folder / "orders.csv.gz"
    packed.write_bytes(gzip.compress(desk.source.read_bytes()))
    desk.source = packed

    def lose(point: str) -> None:
        if point == "after_stage:sums":
            unpacked = desk.folder / "work.run1.1" / "source.orders.csv"
            unpacked.write_bytes(unpacked.read_bytes().replace(b"5,b,50\n", b""))

    calm.on_fault = lose
    with pytest.raises(LoadFailed, match="has 5 rows, but 4 records") as failed:
        load(desk.order(), calm)
    assert failed.value.error.code == "ledger_mismatch"
    assert not desk.database.exists()


def test_rejects_are_on_the_disk_before_anything_is_committed(desk: Any, calm: Any, disk: Any) -> None:
    """A crash of the machine right after the commit does not lose them."""
    lasting: dict[str, list[str]] = {}
    calm.on_fault = lambda point: lasting.update({point: disk.lasting()})
    load(desk.order(), calm)
    assert lasting["after_stage:sums"] == []
    assert lasting["before_commit:rows"] == ["run1.1.ndjson"]


def test_bytes_that_are_no_utf8_are_kept_as_base64() -> None:
    """Nothing of a row is lost to an encoding."""
    from etlplus.engines.load_rejects import _reject

    kept = _reject("orders", 1, ("r",), b"\xff,1")
    assert (kept.encoding, base64.b64decode(kept.raw)) == ("base64", b"\xff,1")
