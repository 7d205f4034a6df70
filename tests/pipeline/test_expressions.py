"""Expressions say what a row is worth and can reach nothing else."""

import pytest

from etlplus.pipeline.expressions import admit

COLUMNS = ("dep_time", "carrier", "dest")


@pytest.mark.parametrize(
    "text",
    [
        "dep_time is not null",
        "coalesce(dep_time, 0) * 2 + 1",
        "case when carrier = 'UA' then 'United' else upper(carrier) end",
        "try_cast(dep_time as bigint) between 1 and 2400",
        "carrier in ('UA', 'AA') and not dest like 'J%'",
    ],
)
def test_scalar_expressions_are_admitted(text: str) -> None:
    """A scalar expression over known columns comes back as SQL without problems."""
    sql, problems = admit(text, COLUMNS, pointer="/x")
    assert sql
    assert not problems


@pytest.mark.parametrize(
    "text",
    [
        "(select 1)",
        "exists (select 1)",
        "dep_time in (select 1)",
        "1; drop table flights",
        "drop table flights",
        "attach 'x.db'",
        "copy flights to 'x'",
        "set memory_limit='1TB'",
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd')",
        "getenv('HOME')",
        "current_setting('temp_directory')",
        "query('select 1')",
        "columns(*)",
        "*",
        "sum(dep_time)",
        "row_number() over ()",
        "$1",
        "?",
        "nextval('s')",
        "pragma database_list",
        "list_transform([1], x -> x)",
        "other.carrier",
        "dep_time +",
        "'unclosed",
        "",
        "(" * 3000 + "1" + ")" * 3000,
        "1" + " + 1" * 2000,
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    """Subqueries, commands, table functions, unknown functions, parameters and broken text give problems and no SQL."""
    sql, problems = admit(text, COLUMNS, pointer="/x")
    assert sql == ""
    assert problems
    assert all(problem.pointer == "/x" for problem in problems)


def test_a_misspelled_column_is_answered_with_the_nearest_one() -> None:
    """An unknown column is refused with a suggestion."""
    _, problems = admit("dep_tme > 1", COLUMNS, pointer="/x")
    assert problems[0].suggestion == "did you mean 'dep_time'?"


def test_aggregates_are_admitted_where_groups_are_made() -> None:
    """An aggregate step may count and sum; a row's expression may not."""
    assert admit("count(*)", COLUMNS, pointer="/x", aggregate=True)[0]
    assert admit("avg(dep_time)", COLUMNS, pointer="/x", aggregate=True)[0]
    assert not admit("count(*)", COLUMNS, pointer="/x")[0]
