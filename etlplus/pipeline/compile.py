"""
From a plan to DuckDB: every step becomes a view or a table of the engine's own memory, and a line of the ledger.

Steps that keep every row (derive) are views; steps that can lose or merge rows are tables, so that they run once and can be
counted. The row's position in its source travels beside it as ``__row``. For the engine's child only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb

from etlplus.errors import Problem
from etlplus.jobs.outcome import StepCount
from etlplus.jobs.parameters import Kind, Value
from etlplus.pipeline.binding import usable
from etlplus.pipeline.expressions import admit
from etlplus.pipeline.plan import Aggregate, AnyStep, Derive, Filter, Join, Pipeline, Rule, Validate

ROW = "__row"

_TYPES: dict[Kind, str] = {
    "text": "varchar",
    "name": "varchar",
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
}


def quoted(name: str) -> str:
    """A name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def variables(plan: Pipeline) -> dict[str, str]:
    """The variable of the engine that holds each value, by the value's name. They are numbered: the engine would take names
    that differ in case only for one.
    """
    return {name: f"value_{number}" for number, name in enumerate(usable(plan))}


def give(con: duckdb.DuckDBPyConnection, plan: Pipeline, values: Mapping[str, Value]) -> None:
    """Set the variables: each value goes to the engine as a bound parameter, and is of its own type there."""
    known = usable(plan)
    for name, variable in variables(plan).items():
        con.execute(f"set variable {variable} = cast($1 as {_TYPES[known[name].type]})", [values[name]])


@dataclass
class Compiled:
    """A plan inside one DuckDB connection whose sources exist as tables, and to which its values are given. ``problems`` is
    empty when it can be trusted.
    """

    con: duckdb.DuckDBPyConnection
    plan: Pipeline
    counts: list[StepCount] = field(default_factory=list[StepCount])
    problems: list[Problem] = field(default_factory=list[Problem])
    broken: dict[str, int] = field(default_factory=dict[str, int])
    _released: set[str] = field(default_factory=set[str])

    def columns(self, relation: str) -> tuple[str, ...]:
        """The columns that a source or step offers to people."""
        found = self.con.sql(f"select * from {quoted(relation)} limit 0").columns
        return tuple(name for name in found if not name.startswith("__"))

    def count(self, sql: str) -> int:
        """One number."""
        ((number,),) = self.con.execute(sql).fetchall()  # to the end: a half-read result keeps the connection busy
        return int(number)

    def rows(self, relation: str) -> int:
        """How many rows a source or step has."""
        return self.count(f"select count(*) from {quoted(relation)}")

    def build(self) -> None:
        """Carry out every step in order; stops at the first step with problems."""
        for at, step in enumerate(self.plan.steps):
            self.step(step, f"/steps/{at}")
            if self.problems:
                return

    def step(self, step: AnyStep, pointer: str) -> None:
        """Carry out one step whose inputs exist, or add to ``problems``."""
        match step:
            case Derive():
                self._derive(step, pointer)
            case Filter():
                self._filter(step, pointer)
            case Join():
                self._join(step, pointer)
            case Validate():
                self._validate(step, pointer)
            case Aggregate():
                self._aggregate(step, pointer)

    def release(self, done: int) -> None:
        """Drop the tables that neither a step after the first ``done`` ones nor a sink will read, to free their memory.
        What a validation has judged stays, for its rejects.
        """
        rest = [name for step in self.plan.steps[done:] for name in inputs(step)]
        wanted = {table for name in [*rest, *(sink.input for sink in self.plan.sinks)] for table in self._tables(name)}
        for name in [*self.plan.sources, *(step.id for step in self.plan.steps[:done])]:
            if name not in wanted and name not in self._released and self._tables(name) == {name}:
                self.con.execute(f"drop table {quoted(name)}")
                self._released.add(name)

    def _tables(self, name: str) -> set[str]:
        """The tables whose rows ``name`` shows: itself, or what stands behind a view."""
        step = next((step for step in self.plan.steps if step.id == name), None)
        match step:
            case Derive():
                return self._tables(step.input)
            case Validate():
                return {f"__judged_{name}"}
            case _:
                return {name}

    def _admit(self, text: str, step: AnyStep, pointer: str, *, aggregate: bool = False) -> str:
        columns = self.columns(step.input)
        sql, problems = admit(text, columns, pointer=pointer, aggregate=aggregate, variables=variables(self.plan))
        self.problems += problems
        if not problems:
            try:
                self.con.sql(f"select {sql} as x from {quoted(step.input)} limit 0")
            except duckdb.InterruptException:
                raise
            except duckdb.Error as error:
                self.problems.append(Problem(str(error).splitlines()[0], pointer, "expression"))
        return sql

    def _create(self, what: str, step: AnyStep, sql: str) -> None:
        self.con.execute(f"create temp {what} {quoted(step.id)} as {sql}")

    def _derive(self, step: Derive, pointer: str) -> None:
        made = {n: self._admit(x, step, f"{pointer}/columns/{n}") for n, x in step.columns.items()}
        if self.problems:
            return
        kept = [n for n in self.con.sql(f"select * from {quoted(step.input)} limit 0").columns if n not in made]
        parts = [*map(quoted, kept), *(f"({sql}) as {quoted(n)}" for n, sql in made.items())]
        self._create("view", step, f"select {', '.join(parts)} from {quoted(step.input)}")
        rows = self.count(f"select count(*) from {quoted(step.input)}")
        self.counts.append(StepCount(step.id, "derive", rows, rows))

    def _filter(self, step: Filter, pointer: str) -> None:
        where = self._admit(step.where, step, f"{pointer}/where")
        if self.problems:
            return
        source = quoted(step.input)
        self._create("table", step, f"select * from {source} where {where}")
        rows_in, out = (
            self.count(f"select count(*) from {source}"),
            self.count(f"select count(*) from {quoted(step.id)}"),
        )
        filtered = self.count(f"select count(*) from {source} where ({where}) is not true")
        self.counts.append(StepCount(step.id, "filter", rows_in, out, filtered=filtered))

    def _join(self, step: Join, pointer: str) -> None:
        own, other = self.columns(step.input), self.columns(step.lookup)
        wrong = [(n, "on") for n in step.on if n not in own] + [(n, "on") for n in step.on.values() if n not in other]
        wrong += [(n, "take") for n in step.take.values() if n not in other]
        wrong += [(n, "take") for n in step.take if n in own]
        self.problems += [
            Problem(f"column {n!r} cannot be used here", f"{pointer}/{key}", "unknown_column") for n, key in wrong
        ]
        if self.problems:
            return
        on = " and ".join(f"a.{quoted(a)} = b.{quoted(b)}" for a, b in step.on.items())
        first = quoted(next(iter(step.on.values())))
        taken = "".join(f", b.{quoted(name)} as {quoted(new)}" for new, name in step.take.items())
        flag = quoted(f"__matched_{step.id}")
        sources = f"{quoted(step.input)} a left join {quoted(step.lookup)} b on {on}"
        sql = f"select a.*{taken}, b.{first} is not null as {flag} from {sources}"
        self._create("table", step, sql)
        rows_in, out = (self.count(f"select count(*) from {quoted(n)}") for n in (step.input, step.id))
        matched = self.count(f"select count(*) from {quoted(step.id)} where {flag}")
        self.counts.append(StepCount(step.id, "join", rows_in, out, matched=matched, unmatched=out - matched))

    def _validate(self, step: Validate, pointer: str) -> None:
        checks = [
            (rule, self._admit(rule.check, step, f"{pointer}/rules/{i}/check")) for i, rule in enumerate(step.rules)
        ]
        if self.problems:
            return
        source = quoted(step.input)
        flags = ", ".join(f"({sql}) is not true as {quoted('__broke_' + rule.id)}" for rule, sql in checks)
        judged = quoted(f"__judged_{step.id}")
        self.con.execute(f"create temp table {judged} as select *, {flags} from {source}")
        for rule, _ in checks:
            self.broken[rule.id] = self.count(f"select count(*) from {judged} where {quoted('__broke_' + rule.id)}")
        refused = _any_of([rule for rule, _ in checks if rule.action == "quarantine"])
        self._create(
            "view",
            step,
            f"select * exclude ({', '.join(quoted('__broke_' + r.id) for r, _ in checks)}) from {judged} where not ({refused})",
        )
        total, out, out_of_it = (
            self.count(f"select count(*) from {judged}{w}")
            for w in ("", f" where not ({refused})", f" where {refused}")
        )
        self.counts.append(StepCount(step.id, "validate", total, out, quarantined=out_of_it))

    def _aggregate(self, step: Aggregate, pointer: str) -> None:
        made = {n: self._admit(x, step, f"{pointer}/columns/{n}", aggregate=True) for n, x in step.columns.items()}
        missing = [n for n in step.by if n not in self.columns(step.input)]
        self.problems += [Problem(f"unknown column {n!r}", f"{pointer}/by", "unknown_column") for n in missing]
        if self.problems:
            return
        by = ", ".join(map(quoted, step.by))
        parts = ", ".join([by, *(f"{sql} as {quoted(n)}" for n, sql in made.items()), 'count(*) as "__size"'])
        self._create("table", step, f"select {parts} from {quoted(step.input)} group by {by} order by {by}")
        rows_in, out, sizes = (
            self.count(f"select count(*) from {quoted(step.input)}"),
            self.count(f"select count(*) from {quoted(step.id)}"),
            self.count(f'select coalesce(sum("__size"), 0) from {quoted(step.id)}'),
        )
        self.counts.append(StepCount(step.id, "aggregate", rows_in, out, matched=sizes))


def inputs(step: AnyStep) -> tuple[str, ...]:
    """The names of all relations that a step reads."""
    return (step.input, step.lookup) if isinstance(step, Join) else (step.input,)


def _any_of(rules: list[Rule]) -> str:
    return " or ".join(quoted("__broke_" + rule.id) for rule in rules) or "false"
