"""
``etlplus config``: what is wrong with a configuration, and which value holds.
"""

from __future__ import annotations

import argparse
import os

from etlplus.cli.arguments import Commands, add_command, add_configuration, add_group, configuration, configuration_file

_CHECKED = """\
The file is judged together with the variables of the environment, as `etlplus serve` would take them; without a file, they are
judged alone.
"""


def add_to(commands: Commands) -> None:
    """Teach the command line these commands."""
    group = add_group(commands, "config", "check and show the configuration")
    check = add_command(group, "check", "say everything that is wrong with a configuration", _CHECKED)
    check.add_argument("file", metavar="FILE", nargs="?", help="a TOML file (or the variable ETLPLUS_CONFIG)")
    check.set_defaults(act=_check)
    show = add_command(group, "show", "show every option, its value, and who set it")
    add_configuration(show)
    show.set_defaults(act=_show)


def _check(chosen: argparse.Namespace) -> int:
    from etlplus.settings import gather  # help must not wait for it

    file = configuration_file(chosen.file)
    found = gather(file, os.environ)
    print(f"{file or 'defaults and environment'}: valid, {len(found.origins)} options set")
    return 0


def _show(chosen: argparse.Namespace) -> int:
    found = configuration(chosen)
    from etlplus.settings.options import options

    for option in options():
        value: object = found.settings
        for name in option.path:
            value = getattr(value, name)
        shown = "(set, not shown)" if option.secret and value else repr(value)
        print(f"{option.key} = {shown}  # {found.origins.get(option.key, 'default')}")
    return 0
