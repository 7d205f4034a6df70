"""
Arguments that several commands share, and what they mean: where the configuration is, where the daemon is.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from etlplus.errors import Invalid, Problem, Unauthenticated

if TYPE_CHECKING:
    from etlplus.settings import Gathered

Commands = Any  # argparse keeps the type of its collection of sub-commands to itself

LISTING = frozenset({"jobs", "runs", "letters", "queues", "limits"})
"""Groups of commands that, without one, do what their command ``list`` does, with its options."""
_LISTS = "Without a command it lists: the options are those of list."
DEFAULT_URL = "http://127.0.0.1:8080"


def add_command(commands: Commands, name: str, summary: str, epilog: str = "") -> argparse.ArgumentParser:
    """One more command, with a help that may teach by examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_group(commands: Commands, name: str, summary: str) -> Commands:
    """A command that only leads to others; alone it lists, or else prints its help."""
    parser = add_command(commands, name, summary, _LISTS if name in LISTING else "")

    def teach(_chosen: argparse.Namespace) -> int:
        parser.print_help()
        return 2

    parser.set_defaults(act=teach)
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def completed(arguments: Sequence[str]) -> list[str]:
    """A command line with the command that it leaves out."""
    group, *rest = arguments or [""]
    lists = group in LISTING and (not rest or rest[0].startswith("-")) and not {"-h", "--help"} & set(rest[:1])
    return [group, "list", *rest] if lists else [*arguments]


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """``--config`` and ``--set``."""
    parser.add_argument("--config", metavar="FILE", help="a TOML file of settings (or the variable ETLPLUS_CONFIG)")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="flags", help="set one option, over all else"
    )


def configuration(chosen: argparse.Namespace) -> Gathered:
    """The settings this command line asks for.

    Raises:
        Misconfigured: something in them is wrong; every problem is told.
    """
    from etlplus.settings import gather  # help must not wait for it

    return gather(configuration_file(chosen.config), os.environ, dict(map(_flag, chosen.flags)))


def configuration_file(named: str | None) -> str | None:
    """The file that is named, else the one that the environment names, else none."""
    return named or os.environ.get("ETLPLUS_CONFIG")


def _flag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        problem = Problem(f"{text!r} sets nothing", suggestion="--set KEY=VALUE, for example --set server.port=0")
        raise Invalid("A value of the command line is refused.", [problem])
    return key.strip(), value


def add_daemon(parser: argparse.ArgumentParser) -> None:
    """``--url`` and ``--token``."""
    parser.add_argument(
        "--url", default=os.environ.get("ETLPLUS_URL", DEFAULT_URL), help=f"the daemon (ETLPLUS_URL, or {DEFAULT_URL})"
    )
    parser.add_argument("--token", default=os.environ.get("ETLPLUS_TOKEN"), help="a bearer token (ETLPLUS_TOKEN)")


def token_of(chosen: argparse.Namespace) -> str:
    """The token to use.

    Raises:
        Unauthenticated: none was given; the sentence says how to get one.
    """
    if not chosen.token:
        raise Unauthenticated("no token: export ETLPLUS_TOKEN=$(etlplus sign-in NAME), or give --token")
    return chosen.token


def moment(option: str, text: str) -> datetime:
    """A moment with its offset from UTC.

    Raises:
        Invalid: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        suggestion = "accepted: a date, a time and an offset, such as 2026-03-28T12:00:00Z"
        problem = Problem(f"{option}: {text!r} is no moment", suggestion=suggestion)
        raise Invalid("A value of the command line is refused.", [problem])
    return found


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """``--param``, which ``parameters`` reads."""
    parser.add_argument(
        "--param", metavar="NAME=VALUE", action="append", default=[], help="a parameter of the run, as JSON or text"
    )


def add_interval(parser: argparse.ArgumentParser) -> None:
    """``--interval``, which ``interval`` reads."""
    parser.add_argument("--interval", metavar="FROM/TO", help="the stretch of data it is for, as two moments")


def interval(text: str | None) -> tuple[datetime, datetime] | None:
    """
    Two moments with a slash between them; None if nothing was given.

    Raises:
        Invalid: it is no interval.
    """
    if text is None:
        return None
    first, slash, second = text.partition("/")
    if not slash:
        suggestion = "accepted: FROM/TO, such as 2026-03-28T00:00:00Z/2026-03-29T00:00:00Z"
        problem = Problem(f"--interval: {text!r} is no interval", suggestion=suggestion)
        raise Invalid("A value of the command line is refused.", [problem])
    return moment("--interval", first), moment("--interval", second)


def parameters(texts: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` words as a run's parameters; a value that reads as JSON is that, any other is text."""
    import msgspec  # as above

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            problem = Problem(f"{text!r} gives nothing", suggestion="NAME=VALUE, for example day=2013-01-31")
            raise Invalid("A value of the command line is refused.", [problem])
        try:
            found[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[name] = value
    return found
