"""
One attempt of one load, from files to committed sinks, with every row accounted for.

The order of events is the guarantee: freeze the sources, read and transform, stage every sink where nobody looks, write the
rejects to the disk, hold the ledger against its laws, and only then commit sink after sink, each by a compare-and-swap on
its token. A sink that this run has committed before is left alone. Runs in the engine's child, which is the only caller.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import duckdb
import msgspec

from etlplus.connectors.catalog import destination
from etlplus.connectors.contract import Claim, ConnectorFailed, Destination, Token
from etlplus.engines import load_balance, load_rejects, load_sources
from etlplus.engines.control import Control, Interrupted, LoadFailed
from etlplus.engines.load_check import check as check
from etlplus.engines.load_check import misplaced
from etlplus.engines.order import LoadOrder
from etlplus.errors import Invalid
from etlplus.jobs.outcome import Figures, Progress, RunError, SinkOutcome
from etlplus.pipeline.binding import values
from etlplus.pipeline.compile import Compiled, give
from etlplus.pipeline.document import convert
from etlplus.pipeline.plan import Pipeline, Validate, plan_id

REPORT_S = 0.2  # between two reports of progress

Phase = Literal["reading", "transforming", "loading", "committing"]
_PHASES: dict[Phase, tuple[float, float]] = {  # the share of the work at each phase's begin and end
    "reading": (0.0, 0.3),
    "transforming": (0.3, 0.5),
    "loading": (0.5, 0.95),
    "committing": (0.95, 1.0),
}


def load(order: LoadOrder, control: Control) -> Figures:
    """
    Carry out the attempt and return the balance of what is committed.

    Raises LoadFailed with a classified error, or Interrupted when the control says so; in both cases every sink holds
    either what it held before or this run's whole result, never a part of it.
    """
    try:
        return _Load(order, control).run()
    except ConnectorFailed as failed:
        control.check()
        raise LoadFailed(failed.error) from failed
    except Invalid as error:
        control.check()
        raise LoadFailed(_invalid(error)) from error
    except duckdb.InterruptException as error:
        control.check()
        raise Interrupted("the query was interrupted") from error
    except duckdb.OutOfMemoryException as error:
        raise LoadFailed(RunError("out_of_memory", str(error), retryable=True)) from error
    except duckdb.IOException as error:
        raise LoadFailed(RunError("internal", f"the work folder failed: {error}", retryable=True)) from error
    except duckdb.Error as error:
        raise LoadFailed(RunError("data_error", str(error))) from error
    except OSError as error:  # of a source or a destination its connector tells; what is left is our own folders
        raise LoadFailed(RunError("internal", f"the data directory failed: {error}", retryable=True)) from error


class _Load:
    """The attempt: what it works on, and how far it is."""

    def __init__(self, order: LoadOrder, control: Control) -> None:
        self._order = order
        self._control = control
        self._started = time.monotonic()
        self._plan = _decoded(order)
        self._values = values(self._plan, order.params, order.interval)
        self._sinks = {sink.id: self._destination(at) for at, sink in enumerate(self._plan.sinks)}
        _hold_apart(self._sinks)
        self._sources = load_sources.Sources(order, self._plan, self._values)
        self._proofs: dict[str, Token] = {}
        self._staged: dict[str, int] = {}
        self._progress = Progress("reading")
        self._reported = 0.0

    def run(self) -> Figures:
        for name, sink in self._sinks.items():
            if (token := sink.begin()) is not None:
                self._proofs[name] = token
        if len(self._proofs) == len(self._sinks):
            return self._committed(self._proofs[self._plan.sinks[0].id].figures)
        self._sources.freeze(self._control)
        try:
            return self._carry()
        finally:
            for sink in self._sinks.values():
                sink.abandon()

    def _carry(self) -> Figures:
        with load_sources.connect(self._order, self._plan.zone) as con:
            self._control.on_interrupt(con.interrupt)
            self._read(con)
            compiled = self._transform(con)
            figures = self._stage(con, compiled)
        return self._commit(figures)

    def _read(self, con: duckdb.DuckDBPyConnection) -> None:
        self._tell("reading", bytes_total=self._sources.bytes_total)
        for at, name in enumerate(self._plan.sources, 1):
            self._control.check()
            self._sources.read(name, con)
            self._tell("reading", at / len(self._plan.sources), rows_read=self._rows_read())
        load_sources.lock(con)

    def _rows_read(self) -> int:
        """Of the source that feeds the main sink: lookups are no part of the balance."""
        main = self._sources.counts.get(load_balance.path_to(self._plan, self._plan.sinks[0].input)[0])
        return main.rows_in if main else 0

    def _transform(self, con: duckdb.DuckDBPyConnection) -> Compiled:
        self._tell("transforming", rows_read=self._rows_read(), bytes_read=self._sources.bytes_total)
        give(con, self._plan, self._values)
        compiled = Compiled(con, self._plan)
        for at, step in enumerate(self._plan.steps):
            self._control.check()
            compiled.step(step, f"/steps/{at}")
            if compiled.problems:
                raise Invalid("the pipeline does not fit its data", compiled.problems)
            compiled.release(at + 1)
            self._tell("transforming", (at + 1) / len(self._plan.steps))
        self._hold_rules(compiled)
        return compiled

    def _hold_rules(self, compiled: Compiled) -> None:
        """A broken rule whose action is ``fail`` ends the load."""
        rules = [rule for step in self._plan.steps if isinstance(step, Validate) for rule in step.rules]
        broken = [rule for rule in rules if rule.action == "fail" and compiled.broken[rule.id]]
        if broken:
            said = tuple(f"rule {rule.id!r} is broken by {compiled.broken[rule.id]} rows" for rule in broken)
            raise LoadFailed(RunError("data_error", "; ".join(said), problems=said))

    def _stage(self, con: duckdb.DuckDBPyConnection, compiled: Compiled) -> Figures:
        """Stage all sinks, write the rejects, and hold the ledger against its laws."""
        counts = (*self._sources.counts.values(), *compiled.counts)
        figures = load_balance.figures(self._plan, counts)
        self._tell("loading", rows_quarantined=figures.rows_quarantined)
        waiting = [sink for sink in self._plan.sinks if sink.id not in self._proofs]
        offered = {sink.id: compiled.rows(sink.input) for sink in waiting}
        moved = 0

        def tick(rows: int) -> None:
            nonlocal moved
            moved += rows
            self._control.check()
            self._tell("loading", moved / max(1, sum(offered.values())), rows_loaded=min(moved, figures.rows_loaded))

        for sink in waiting:
            self._control.fault(f"before_stage:{sink.id}")
            self._staged[sink.id] = self._sinks[sink.id].stage(con, sink.input, tick)
            self._control.fault(f"after_stage:{sink.id}")
        rejects_file = load_rejects.write(con, self._plan, self._sources, self._order)
        said = load_balance.imbalances(self._plan, counts, self._staged)
        if said:
            raise LoadFailed(RunError("ledger_mismatch", "; ".join(said), problems=tuple(said)))
        return msgspec.structs.replace(
            figures,
            bytes_read=self._sources.bytes_total,
            broken_rules=self._sources.unread | compiled.broken,
            rejects_file=rejects_file,
        )

    def _commit(self, figures: Figures) -> Figures:
        self._tell("committing", rows_loaded=figures.rows_loaded)
        for at, name in enumerate(self._staged, 1):
            self._control.fault(f"before_commit:{name}")
            self._control.check()
            self._proofs[name] = self._sinks[name].commit(self._timed(figures))
            self._control.fault(f"after_commit:{name}")
            self._tell("committing", at / len(self._staged))
        return self._committed(figures)

    def _committed(self, figures: Figures) -> Figures:
        outcomes = (_outcome(name, sink, self._proofs[name]) for name, sink in self._sinks.items())
        return msgspec.structs.replace(self._timed(figures), sinks=tuple(outcomes))

    def _timed(self, figures: Figures) -> Figures:
        return msgspec.structs.replace(figures, seconds=time.monotonic() - self._started)

    def _destination(self, at: int) -> Destination:
        sink, order = self._plan.sinks[at], self._order
        claim = Claim(order.job_id, sink.id, order.run_id, order.attempt, plan_id(self._plan))
        path = load_sources.resolve(sink.path, order, self._plan, self._values)
        return destination(sink, path, self._values, claim, Path(order.work_dir))

    def _tell(self, phase: Phase, part: float = 0.0, **counts: int) -> None:
        """Report at a change of phase, and else at most every ``REPORT_S``; ``part`` is how much of the phase is done."""
        begin, end = _PHASES[phase]
        changed = phase != self._progress.phase or not self._reported
        share = begin + (end - begin) * min(1.0, part)
        self._progress = msgspec.structs.replace(self._progress, phase=phase, share=share, **counts)
        if changed or part == 1.0 or time.monotonic() - self._reported >= REPORT_S:
            self._reported = time.monotonic()
            self._control.report(self._progress)


def _decoded(order: LoadOrder) -> Pipeline:
    plan = convert(order.plan)
    if problems := misplaced(plan):
        raise Invalid("the pipeline cannot be used", problems)
    return plan


def _hold_apart(sinks: dict[str, Destination]) -> None:
    """Two sinks of one run in one place would each find the other's commit in the way."""
    owners: dict[str, str] = {}
    for name, sink in sinks.items():
        if (other := owners.setdefault(sink.target, name)) != name:
            said = f"sinks {other!r} and {name!r} both write {sink.target}; give each a place of its own"
            raise LoadFailed(RunError("invalid_plan", said))


def _invalid(error: Invalid) -> RunError:
    code = "invalid_plan" if error.reason == Invalid.code else error.reason
    return RunError(code, str(error), problems=tuple(map(str, error.problems)))


def _outcome(name: str, sink: Destination, token: Token) -> SinkOutcome:
    return SinkOutcome(name, sink.kind, sink.guarantee, sink.mode, token.rows, token.attempt, sink.target)
