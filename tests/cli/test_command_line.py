"""The command line teaches, says in one sentence what is wrong, and ends with a status from one table."""

import subprocess
import sys

import pytest

from etlplus import __version__
from etlplus.cli import entry
from etlplus.cli.arguments import LISTING, completed
from etlplus.cli.exits import MEANING, Exit, exit_of
from etlplus.errors import EtlplusError, Invalid, Misconfigured, StoreUnavailable


def etlplus(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "etlplus", *arguments], capture_output=True, text=True, check=False)


def test_the_version_is_told():
    """--version says one thing."""
    assert etlplus("--version").stdout == f"etlplus {__version__}\n"


def test_help_lists_every_command_and_every_exit_status(capsys):
    """Who types --help sees what there is and how commands end."""
    with pytest.raises(SystemExit):
        entry(["--help"])
    text = capsys.readouterr().out
    commands = {"serve", "run", "jobs", "runs", "why", "letters", "queues", "limits", "schedules", "apply"}
    commands |= {"sign-in", "status", "backup", "restore", "migrate", "config", "demo"}
    for word in (*commands, *MEANING.values()):
        assert word in text


@pytest.mark.parametrize("words", [["schedules"], ["config"], []])
def test_a_command_that_only_leads_to_others_teaches_them(words, capsys):
    """Half a command is answered with help."""
    assert entry(words) == Exit.USAGE
    assert "usage: etlplus" in capsys.readouterr().out


@pytest.mark.parametrize("group", sorted(LISTING))
def test_a_group_that_lists_does_so_without_a_command(group, capsys):
    """With the options of list; asked for help, it teaches its commands."""
    assert completed([group, "--json"]) == [group, "list", "--json"]
    assert completed([group, "list"]) == [group, "list"]
    assert completed([group, "--help"]) == [group, "--help"]
    with pytest.raises(SystemExit):
        entry([group, "--help"])
    assert "Without a command it lists" in capsys.readouterr().out


def test_help_waits_for_nothing_heavy():
    """Asking for help loads neither Trio nor a server."""
    probe = "import sys, etlplus.cli; print(*({'trio', 'quart', 'httpx2', 'structlog', 'duckdb'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_a_broken_configuration_is_told_with_its_place(tmp_path):
    """config check names file, line, column and what is accepted, and ends with the status of configurations."""
    file = tmp_path / "etlplus.toml"
    file.write_text("[server]\nport = 'high'\n")
    done = etlplus("config", "check", str(file))
    assert done.returncode == Exit.CONFIGURATION
    assert f"{file}:2:1: server.port cannot be 'high' (accepted: a whole number from 0 to 65535)" in done.stderr


def test_a_good_configuration_is_called_valid(tmp_path, capsys):
    """config check is silent about nothing: it says that the file is valid."""
    file = tmp_path / "etlplus.toml"
    file.write_text("[server]\nport = 0\n")
    assert entry(["config", "check", str(file)]) == Exit.OK
    assert capsys.readouterr().out == f"{file}: valid, 1 options set\n"


def test_what_is_checked_is_what_would_be_served(tmp_path, monkeypatch, capsys):
    """The file that the environment names is judged when no other is, and so are the variables themselves."""
    file = tmp_path / "etlplus.toml"
    file.write_text("[server]\nprot = 0\n")
    assert entry(["config", "check"]) == Exit.OK
    assert capsys.readouterr().out == "defaults and environment: valid, 0 options set\n"
    monkeypatch.setenv("ETLPLUS_CONFIG", str(file))
    assert entry(["config", "check"]) == Exit.CONFIGURATION
    assert f"{file}:2:1: unknown key server.prot (did you mean server.port?)" in capsys.readouterr().err
    file.write_text("")
    monkeypatch.setenv("ETLPLUS_LOG__LEVEL", "loud")
    assert entry(["config", "check"]) == Exit.CONFIGURATION
    assert "ETLPLUS_LOG__LEVEL" in capsys.readouterr().err


def test_config_show_tells_who_set_what_and_no_secret(tmp_path, monkeypatch, capsys):
    """Each option is shown with its value and its origin; secrets only as being set."""
    monkeypatch.setenv("ETLPLUS_AUTH__SECRET", "x" * 40)
    assert entry(["config", "show", "--set", "server.port=9"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert "server.port = 9  # --set server.port" in lines
    assert "auth.secret = (set, not shown)  # ETLPLUS_AUTH__SECRET" in lines
    assert "lease.beat_s = 5.0  # default" in lines


def test_a_flag_without_a_value_is_refused(capsys):
    """--set needs KEY=VALUE, and says so."""
    assert entry(["config", "show", "--set", "server.port"]) == Exit.INVALID
    assert "--set KEY=VALUE" in capsys.readouterr().err


def test_serve_does_not_start_with_a_broken_configuration(capsys):
    """Nothing is opened before the settings hold."""
    assert entry(["serve", "--set", "server.prot=1"]) == Exit.CONFIGURATION
    assert "did you mean server.port?" in capsys.readouterr().err


def test_without_a_token_the_sentence_says_how_to_get_one(monkeypatch, capsys):
    """Commands that speak to a daemon need a token."""
    monkeypatch.delenv("ETLPLUS_TOKEN", raising=False)
    assert entry(["jobs", "list"]) == Exit.NOT_ALLOWED
    assert "etlplus sign-in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Invalid("x"), Exit.INVALID),
        (Misconfigured("x"), Exit.CONFIGURATION),
        (StoreUnavailable("x"), Exit.UNAVAILABLE),
        (EtlplusError("x"), Exit.INTERNAL),
    ],
)
def test_each_kind_of_error_has_its_status(error, status):
    """The more precise kind decides."""
    assert exit_of(error) is status


def test_every_exit_status_has_a_meaning():
    """The table is complete."""
    assert MEANING.keys() == set(Exit)
