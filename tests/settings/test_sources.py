"""Settings come from defaults, a file, the environment and flags, and every mistake is told with its place."""

from pathlib import Path

import pytest

from etlplus.errors import Misconfigured, Problem
from etlplus.settings import Settings, gather, load_settings

ROOT = Path(__file__).parents[2]


def problems(**sources) -> tuple[Problem, ...]:
    with pytest.raises(Misconfigured) as caught:
        load_settings(**sources)
    return caught.value.problems


def written(folder: Path, text: str) -> Path:
    file = folder / "etlplus.toml"
    file.write_text(text)
    return file


def test_without_any_source_the_defaults_hold():
    """With nothing configured, the settings are those of a bare constructor."""
    assert load_settings() == Settings()
    assert (load_settings().server.port, load_settings().monitoring.websocket.port) == (8080, 8081)


def test_each_source_overrules_the_one_before(tmp_path):
    """Flags beat the environment, which beats the file, which beats the default; the winner is named."""
    file = written(tmp_path, "[server]\nport = 1\n\n[engine]\nslots = 2\n\n[log]\nlevel = 'error'\n")
    environ = {"ETLPLUS_SERVER__PORT": "3", "ETLPLUS_ENGINE__SLOTS": "4"}

    found = gather(file, environ, {"engine.slots": "5"})

    assert (found.settings.log.level, found.settings.server.port, found.settings.engine.slots) == ("error", 3, 5)
    assert found.origins == {
        "log.level": f"{file}:8",
        "server.port": "ETLPLUS_SERVER__PORT",
        "engine.slots": "--set engine.slots",
    }


def test_plain_port_is_heard_but_the_precise_name_wins():
    """PORT sets the port of REST, as hosting platforms expect; the prefixed variable is stronger."""
    assert load_settings(environ={"PORT": "9000"}).server.port == 9000
    assert load_settings(environ={"PORT": "9000", "ETLPLUS_SERVER__PORT": "9001"}).server.port == 9001


def test_a_secret_can_live_in_a_file(tmp_path):
    """A secret is read from the file that its _FILE variable names, without the newline editors add."""
    file = tmp_path / "secret"
    file.write_text("s" * 40 + "\n")
    assert load_settings(environ={"ETLPLUS_AUTH__SECRET_FILE": str(file)}).auth.secret == "s" * 40


def test_a_missing_secret_file_is_a_problem_and_not_an_empty_secret(tmp_path):
    """A daemon must not start with no secret because a mount was forgotten."""
    (problem,) = problems(environ={"ETLPLUS_AUTH__SECRET_FILE": str(tmp_path / "gone")})
    assert problem.pointer == "/auth/secret"
    assert "cannot be read" in problem.message


def test_a_secret_never_shows(tmp_path):
    """Neither the representation of settings nor the complaint about a bad secret repeats it."""
    settings = load_settings(environ={"ETLPLUS_AUTH__SECRET": "k" * 32, "ETLPLUS_STORE__URL": "sqlite:hush"})
    assert "kkk" not in repr(settings)
    assert "hush" not in repr(settings)
    (problem,) = problems(environ={"ETLPLUS_AUTH__SECRET": "too short"})
    assert "too short" not in str(problem)


@pytest.mark.parametrize(
    ("text", "message", "line", "column", "suggestion"),
    [
        ("[server]\nprot = 1\n", "unknown key server.prot", 2, 1, "did you mean server.port?"),
        ("[sever]\nport = 1\n", "unknown key sever", 1, 2, "`etlplus config show` lists every key"),
        ("server.port = 'high'\n", "server.port cannot be 'high'", 1, 1, "accepted: a whole number from 0 to 65535"),
        ("[server]\n  port = 70000\n", "server.port cannot be 70000", 2, 3, "accepted: a whole number from 0 to 65535"),
        ("server = 3\n", "server is a section and takes keys", 1, 1, "`etlplus config show` lists every key"),
        (
            "[log]\nlevel = 'loud'\n",
            "log.level cannot be 'loud'",
            2,
            1,
            "accepted: one of debug, info, warning, error",
        ),
        ("[log]\nlevel = \n", "is not TOML: Invalid value", 2, 9, None),
    ],
)
def test_a_mistake_in_the_file_is_told_with_line_and_column(tmp_path, text, message, line, column, suggestion):
    """The operator reads where the mistake stands and what would be taken instead."""
    file = written(tmp_path, text)
    (problem,) = problems(file=file)
    assert (problem.message, problem.line, problem.column) == (message, line, column)
    assert problem.suggestion == suggestion
    assert str(problem).startswith(f"{file}:{line}:{column}: ")


def test_a_key_inside_a_multi_line_text_is_no_key(tmp_path):
    """Positions are those of keys, also when a text before them looks like TOML."""
    file = written(tmp_path, 'data_dir = """\nport = 1\n"""\nlog.level = "loud"\n')
    (problem,) = problems(file=file)
    assert problem.line == 4


def test_all_mistakes_are_told_at_once(tmp_path):
    """One pass finds every mistake in every source, so that nobody mends them one start at a time."""
    file = written(tmp_path, "[server]\nport = -1\nprot = 2\n")
    found = problems(file=file, environ={"ETLPLUS_LOG__LEVEL": "loud", "ETLPLUS_SERVR__PORT": "1"}, flags={"x": "1"})
    assert [problem.message.split(" (")[0] for problem in found] == [
        "unknown key server.prot",
        "unknown variable ETLPLUS_SERVR__PORT",
        "unknown key x",
        "server.port cannot be -1",
        "log.level cannot be 'loud'",
    ]
    assert found[1].suggestion == "did you mean ETLPLUS_SERVER__PORT?"


def test_a_value_that_a_stronger_source_overrules_must_still_be_right(tmp_path):
    """A broken file is not hidden by a flag that happens to be set today."""
    file = written(tmp_path, "[server]\nport = -1\n")
    (problem,) = problems(file=file, flags={"server.port": "1"})
    assert problem.line == 2


def test_two_options_that_contradict_each_other_are_refused(tmp_path):
    """Both listeners on one port, or a lease shorter than three beats, cannot work."""
    file = written(tmp_path, "[monitoring.websocket]\nport = 8080\n[lease]\nexpiry_s = 5\n")
    first, second = problems(file=file)
    assert (first.pointer, first.line) == ("/monitoring/websocket/port", 2)
    assert (second.pointer, second.line) == ("/lease/expiry_s", 4)


def test_a_missing_file_is_a_problem(tmp_path):
    """A file that was named must be there; nothing falls back to defaults in silence."""
    (problem,) = problems(file=tmp_path / "none.toml")
    assert "No such file" in problem.message


def test_a_file_that_is_not_text_is_a_problem(tmp_path):
    """Bytes that are no UTF-8 are told as such, and not as a stack trace."""
    file = tmp_path / "x.toml"
    file.write_bytes(b"\xff\xfe")
    (problem,) = problems(file=file)
    assert "UTF-8" in problem.message


@pytest.mark.parametrize("name", ["development", "staging", "production"])
def test_the_shipped_configurations_are_valid(name):
    """Every file in config/ can be used as it is, and holds no secret."""
    found = gather(ROOT / "config" / f"{name}.toml")
    assert found.origins
    assert not {"auth.secret", "store.url"} & found.origins.keys()
