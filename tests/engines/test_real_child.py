"""The child that the product starts: what it loads, what it must never load, and that it answers."""

import os
import subprocess
import sys

import pytest
from engine_kit import children_of

from etlplus.engines.local import LocalOptions, open_local

pytestmark = pytest.mark.slow
HEAVY = {"duckdb", "pyarrow", "sqlglot", "pgpq"}
DAEMON_ONLY = {
    "etlplus.store",
    "etlplus.actors",
    "etlplus.service",
    "etlplus.web",
    "etlplus.app",
    "etlplus.runtime",
    "trio",
}


def modules_after(statement):
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


def test_the_daemons_half_loads_no_engine_of_data():
    """Rows and megabytes stay in the child."""
    loaded = modules_after("import etlplus.engines.local, etlplus.engines.inline, etlplus.engines.tenancy")
    assert loaded & HEAVY == set()


def test_the_childs_half_loads_nothing_of_the_daemon():
    """Whatever it has imported for its load, the store and the staff are not among it."""
    loaded = modules_after(
        "import importlib\nfrom etlplus.engines import child\nfor name in child.LIBRARIES: importlib.import_module(name)"
    )
    assert HEAVY - {"pgpq"} <= loaded
    assert loaded & DAEMON_ONLY == set()


async def test_the_child_that_the_product_starts_checks_a_plan(tmp_path):
    """The default command works: a plan that is none is refused by the real check."""
    before = children_of(os.getpid())
    async with open_local(LocalOptions(tmp_path, slots=1, spares=0)) as engine:
        problems = await engine.check({"no": "pipeline"}, {}, str(tmp_path))
    assert problems
    assert children_of(os.getpid()) <= before
