"""
A plan judged without a load: its structure, and, as far as the sources can be looked at, its columns and types.

Looks at the beginning of each source that can be read now; a source that cannot is not a problem of the plan, and steps that
depend on it are only judged for what may be said at all. Writes nothing but its work folder. Called by the engine's child.
"""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import duckdb

from etlplus.connectors import csv_file
from etlplus.connectors.contract import ConnectorFailed
from etlplus.engines import load_sources
from etlplus.engines.control import LoadFailed
from etlplus.engines.order import LoadOrder
from etlplus.errors import Invalid, Problem
from etlplus.jobs.parameters import Misfit, Value, bound
from etlplus.pipeline.binding import usable
from etlplus.pipeline.compile import Compiled, give, inputs, variables
from etlplus.pipeline.document import convert
from etlplus.pipeline.expressions import admit
from etlplus.pipeline.plan import Aggregate, AnyStep, Derive, Filter, Join, Pipeline, Validate

LOOK_BYTES = 1 << 20  # of each source: enough for its header and a guess at its types


def check(order: LoadOrder) -> tuple[Problem, ...]:
    """Everything that is known to be wrong with the order's plan; empty when nothing is."""
    try:
        plan = convert(order.plan)
    except Invalid as error:
        return error.problems
    problems = misplaced(plan)
    given, samples = _given(plan, order)
    with load_sources.connect(order, plan.zone) as con, tempfile.TemporaryDirectory() as folder:
        known: set[str] = set()
        for name in plan.sources:
            problems += _look(con, order, plan, given, name, Path(folder), known)
        load_sources.lock(con)
        give(con, plan, samples | given)
        return (*problems, *_steps(con, plan, known))


def _given(plan: Pipeline, order: LoadOrder) -> tuple[dict[str, Value], dict[str, Value]]:
    """What is known of the values, and samples: a null for each, which is of its type all the same."""
    given: dict[str, Value] = {}
    for name, parameter in usable(plan).items():
        with suppress(Misfit):
            given |= bound({name: parameter}, order.params)
    return given, dict.fromkeys(usable(plan))


def misplaced(plan: Pipeline) -> list[Problem]:
    """Names that clash and rules that stand where they cannot work; needs no data."""
    problems: list[Problem] = []
    grouped: set[str] = set()
    rules: set[str] = set()
    for at, step in enumerate(plan.steps):
        if isinstance(step, Aggregate) or step.input in grouped:
            grouped.add(step.id)
        if not isinstance(step, Validate):
            continue
        for index, rule in enumerate(step.rules):
            pointer = f"/steps/{at}/rules/{index}"
            if rule.id in rules:
                problems.append(Problem(f"{rule.id!r} names two rules", f"{pointer}/id", "duplicate"))
            if rule.action == "quarantine" and step.id in grouped:
                said, offer = "a group has no row in a source that could be quarantined", "use fail or warn"
                problems.append(Problem(said, f"{pointer}/action", suggestion=offer))
            rules.add(rule.id)
    return problems


def _look(
    con: duckdb.DuckDBPyConnection,
    order: LoadOrder,
    plan: Pipeline,
    given: Mapping[str, Value],
    name: str,
    folder: Path,
    known: set[str],
) -> list[Problem]:
    """Read the beginning of a source; adds its name to ``known`` if that works."""
    beginning = folder / f"{name}.csv"
    try:
        with csv_file.opened(load_sources.resolve(plan.sources[name].path, order, plan, given)) as file:
            head = file.read(LOOK_BYTES)
        whole = len(head) < LOOK_BYTES
        beginning.write_bytes(head if whole else head[: head.rfind(b"\n") + 1])
        load_sources.scan(con, name, plan.sources[name], beginning)
    except (KeyError, LoadFailed, ConnectorFailed, OSError, EOFError, zipfile.BadZipFile, zlib.error):
        return []
    except Invalid as error:
        return list(error.problems)
    except duckdb.Error as error:
        return [Problem(str(error).splitlines()[0], f"/sources/{name}", "source")]
    known.add(name)
    return []


def _steps(con: duckdb.DuckDBPyConnection, plan: Pipeline, known: set[str]) -> list[Problem]:
    problems: list[Problem] = []
    for at, step in enumerate(plan.steps):
        needs = set(inputs(step))
        if needs <= known:
            compiled = Compiled(con, plan)
            found = _tried(compiled, step, f"/steps/{at}")
        else:
            found = _unseen(step, f"/steps/{at}", variables(plan))
        problems += found
        if needs <= known and not found:
            known.add(step.id)
    return problems


def _tried(compiled: Compiled, step: AnyStep, pointer: str) -> list[Problem]:
    """The step carried out on the few rows there are; an error in their values is the data's, not the plan's."""
    try:
        compiled.step(step, pointer)
    except duckdb.DataError:
        return []
    except duckdb.Error as error:
        return [Problem(str(error).splitlines()[0], pointer, "expression")]
    return compiled.problems


def _unseen(step: AnyStep, pointer: str, known: Mapping[str, str]) -> list[Problem]:
    """What can be said of a step's expressions without knowing its columns."""
    match step:
        case Derive() | Aggregate():
            texts = {f"{pointer}/columns/{name}": text for name, text in step.columns.items()}
        case Filter():
            texts = {f"{pointer}/where": step.where}
        case Validate():
            texts = {f"{pointer}/rules/{at}/check": rule.check for at, rule in enumerate(step.rules)}
        case Join():
            texts = {}
    grouped = isinstance(step, Aggregate)
    judged = (admit(text, (), pointer=at, aggregate=grouped, variables=known)[1] for at, text in texts.items())
    return [problem for found in judged for problem in found if problem.code != "unknown_column"]
