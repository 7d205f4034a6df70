"""
What a person may say in an expression: SQL scalar expressions, admitted node by node from a closed list.

The list is the first fence; the locked DuckDB connection of the load is the second. Imported by the engine's child only.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from etlplus.errors import Problem
from etlplus.pipeline.binding import unknown

LENGTH_MAX = 4096  # longer texts are programs, not expressions

_SCALAR: frozenset[type[exp.Expr]] = frozenset({
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Neg, exp.Not, exp.And, exp.Or,
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.DPipe, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE,
    exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Case, exp.If, exp.Cast, exp.TryCast, exp.DataType,
    exp.DataTypeParam, exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least, exp.Abs, exp.Round, exp.Floor, exp.Ceil,
    exp.Length, exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.Concat, exp.Replace, exp.Left, exp.Right, exp.Year,
    exp.Month, exp.Day, exp.Extract, exp.Var, exp.NullSafeEQ, exp.NullSafeNEQ,
    exp.Placeholder,
})  # fmt: skip
_AGGREGATE: frozenset[type[exp.Expr]] = frozenset({
    exp.Count, exp.Star, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.CountIf, exp.Distinct,
})  # fmt: skip


def admit(
    text: str,
    columns: tuple[str, ...],
    *,
    pointer: str,
    aggregate: bool = False,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> tuple[str, list[Problem]]:
    """
    The expression as DuckDB SQL, and every reason why it may not stand.

    The text comes back as SQL only from the admitted tree, so that nothing reaches the engine that the list did not see.
    With problems the SQL is empty. ``columns`` are the names that may be used; case does not matter. ``variables`` are the
    values that may be used as ``$name``, each with the name of the engine's variable that holds it: of a value nothing
    but that name stands in the SQL.
    """
    if len(text) > LENGTH_MAX:
        return "", [Problem(f"expression is longer than {LENGTH_MAX} characters", pointer, "expression")]
    try:
        parsed = sqlglot.parse(text, read="duckdb")
        if len(parsed) != 1 or parsed[0] is None:
            return "", [Problem("expected exactly one expression", pointer, "expression")]
        problems = _refusals(parsed[0], columns, variables, pointer, _SCALAR | _AGGREGATE if aggregate else _SCALAR)
        return ("", problems) if problems else (_with(variables, parsed[0]).sql(dialect="duckdb"), [])
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        said = f"cannot be read: {first.get('description', error)} at character {first.get('col', 1)}"
        return "", [Problem(said, pointer, "expression")]
    except TokenError as error:
        return "", [Problem(f"cannot be read: {error}", pointer, "expression")]
    except RecursionError:
        return "", [Problem("is nested too deeply", pointer, "expression")]


def _with(variables: Mapping[str, str], tree: exp.Expr) -> exp.Expr:
    """The tree with the engine's variables in the places of values."""

    def held(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Placeholder):
            return node
        return exp.Anonymous(this="getvariable", expressions=[exp.Literal.string(variables[node.this])])

    return tree.transform(held)


def _refusals(
    tree: exp.Expr,
    columns: tuple[str, ...],
    variables: Mapping[str, str],
    pointer: str,
    allowed: frozenset[type[exp.Expr]],
) -> list[Problem]:
    known = {name.lower() for name in columns}
    problems: list[Problem] = []
    for node in tree.walk(prune=lambda inner: type(inner) not in allowed):
        if type(node) not in allowed:
            problems.append(Problem(f"{_named(node)} is not allowed in an expression", pointer, "expression"))
        elif isinstance(node, exp.Column) and (node.table or node.name.lower() not in known):
            near = get_close_matches(node.name.lower(), sorted(known), n=1)
            offer = f"did you mean {near[0]!r}?" if near else f"columns are {', '.join(columns)}"
            if node.name in variables:
                offer = f"the parameter is ${node.name}"
            problems.append(Problem(f"unknown column {node.sql()!r}", pointer, "unknown_column", suggestion=offer))
        elif isinstance(node, exp.Placeholder) and node.this not in variables:
            problems.append(unknown(str(node.this or "?"), variables, pointer))
    return problems


def _named(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return f"function {node.name}()"
    return type(node).__name__
