"""
The laws of the ledger: for each kind of step, what must add up.

Pure arithmetic over counts. The load asks before it commits; a broken law means that rows were lost or doubled, and fails
the commit.
"""

from __future__ import annotations

from collections.abc import Iterable

from etlplus.jobs.outcome import StepCount


def broken_laws(counts: Iterable[StepCount]) -> list[str]:
    """A sentence for every step whose counts do not add up; empty when every row is accounted for."""
    return [f"step {count.step!r} ({count.kind}): {said}" for count in counts if (said := _broken(count))]


def _broken(count: StepCount) -> str:
    match count.kind:
        case "filter":
            return _unequal(count.rows_in, count.rows_out + count.filtered, "in", "out + filtered")
        case "read" | "validate":
            return _unequal(count.rows_in, count.rows_out + count.quarantined, "in", "out + quarantined")
        case "join":
            said = _unequal(count.rows_in, count.matched + count.unmatched, "in", "matched + unmatched")
            return said or _unequal(count.rows_in, count.rows_out, "in", "out")
        case "aggregate":
            return _unequal(count.rows_in, count.matched, "in", "sum of group sizes")
        case _:
            return _unequal(count.rows_in, count.rows_out, "in", "out")


def _unequal(left: int, right: int, left_name: str, right_name: str) -> str:
    return "" if left == right else f"{left_name} is {left}, but {right_name} is {right}"
