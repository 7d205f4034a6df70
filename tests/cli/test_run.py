"""One pipeline file is loaded in the foreground, without a daemon, and nothing is left behind."""

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog

sys.path.insert(0, str(Path(__file__).parent))
from shells import carried_out

from etlplus.cli.exits import Exit

PIPELINE = """\
name: people
sources:
  people: {type: csv, path: people.csv}
steps:
  - id: valid
    type: validate
    input: people
    rules:
      - {id: has_birth, check: born is not null, action: quarantine}
sinks:
  - {id: table, type: sqlite, input: valid, path: people.sqlite, table: people, mode: replace}
"""


IN_TOML = """\
name = "people"
[sources.people]
type = "csv"
path = "people.csv"

[[steps]]
id = "born"
type = "filter"
input = "people"
where = "name <> 'X'"

[[steps]]
id = "valid"
type = "validate"
input = "born"
rules = [
  {id = "named", check = "name is not null"},
  {id = "has_birth", check = "born is not null", action = "quarantine"},
]

[[sinks]]
id = "table"
type = "sqlite"
input = "valid"
path = "people.sqlite"
table = "people"
"""


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """The command decides for its whole process how it logs, and that process is ours."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def run(folder: Path, text: str, *arguments: str, language: str = "yaml") -> subprocess.CompletedProcess[str]:
    return carried_out(("run", str(written(folder, text, language)), *arguments))


def written(folder: Path, text: str, language: str = "yaml") -> Path:
    (folder / "people.csv").write_text("name,born\nAda,1815\nBlaise,1623\nNobody,\n")
    file = folder / f"people.{language}"
    file.write_text(text)
    return file


@pytest.mark.slow
def test_a_pipeline_file_is_loaded_and_summed_up(tmp_path):
    """Paths start at the file's own folder; the balance goes to standard output, progress to standard error."""
    command = [sys.executable, "-m", "etlplus", "run", str(written(tmp_path, PIPELINE))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == Exit.OK, done.stderr
    assert "3 read = 2 loaded" in done.stdout
    assert "rule has_birth: 1 rows broke it" in done.stdout
    with closing(sqlite3.connect(tmp_path / "people.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (2,)
    assert {file.name for file in tmp_path.iterdir()} == {"people.csv", "people.yaml", "people.sqlite"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("check: born", "check: bron", ":9:25: ", "bron"),
        ("mode: replace", "mod: replace", ":11:", "did you mean 'mode'?"),
        ("input: valid", "input: valdi", ":11:", "did you mean 'valid'?"),
        ("born is not null", "born is not", ":9:", ""),
    ],
)
def test_a_mistake_is_told_by_line_before_anything_runs(tmp_path, old, new, place, said):
    """A wrong key, name, column or expression ends with the place in the file, and no destination is touched."""
    done = run(tmp_path, PIPELINE.replace(old, new))
    assert done.returncode == Exit.INVALID
    assert f"people.yaml{place}" in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "people.sqlite").exists()


@pytest.mark.slow
def test_rows_that_cannot_be_read_are_told_apart_from_broken_rules(tmp_path):
    """The sum names what was wrong with them, and in which column."""
    done = run(tmp_path, PIPELINE.replace("path: people.csv}", "path: people.csv, columns: {name: INTEGER}}"))
    assert done.returncode == Exit.FAILED
    assert "none of 3 rows of source 'people' can be read" in done.stdout + done.stderr
    done = run(tmp_path, PIPELINE.replace("path: people.csv}", "path: people.csv, columns: {born: UTINYINT}}"))
    assert done.returncode == Exit.OK, done.stderr
    assert "cast:born: 2 rows could not be read" in done.stdout


@pytest.mark.slow
def test_a_pipeline_in_toml_is_loaded(tmp_path):
    """TOML says the same as YAML."""
    done = run(tmp_path, IN_TOML, language="toml")
    assert done.returncode == Exit.OK, done.stderr
    assert "3 read = 2 loaded" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('check = "born', 'check = "bron', ":18:22: "),
        ('where = "name', 'where = "nmae', ":10:1: "),
        ('table = "people"\n', "table = 5\n", ":26:1: "),
        ('input = "born"', 'input = "brn"', ":15:1: "),
        ('type = "filter"', "type = filter", ":8:8: "),
    ],
)
def test_a_mistake_in_toml_is_told_by_line(tmp_path, old, new, place):
    """Whether it stands in the second of two tables of one name, or inside an array: its own line and column."""
    done = run(tmp_path, IN_TOML.replace(old, new), language="toml")
    assert done.returncode == Exit.INVALID
    assert f"people.toml{place}" in done.stderr
    assert not (tmp_path / "people.sqlite").exists()


@pytest.mark.slow
def test_a_source_that_is_not_there_fails_with_a_sentence(tmp_path):
    """The run fails, says which file it wanted, and leaves no destination."""
    done = run(tmp_path, PIPELINE.replace("path: people.csv", "path: gone.csv"))
    assert done.returncode == Exit.FAILED
    assert f"source_unreadable: {tmp_path / 'gone.csv'} cannot be read: No such file or directory" in done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "people.sqlite").exists()


@pytest.mark.slow
def test_refused_rows_are_kept_in_a_data_directory_of_ones_own(tmp_path):
    """--data-dir keeps the state and the refused rows for later."""
    done = run(tmp_path, PIPELINE, "--data-dir", str(tmp_path / "state"))
    assert done.returncode == Exit.OK, done.stderr
    kept = [file for file in (tmp_path / "state").rglob("*.ndjson") if "Nobody" in file.read_text()]
    assert len(kept) == 1
