"""Whatever a page tells a reader to type or to ask for is there."""

from __future__ import annotations

import re
from argparse import ArgumentParser, _SubParsersAction  # argparse shows them nowhere else
from collections.abc import Iterator
from pathlib import Path

import pytest

from etlplus.cli.arguments import completed
from etlplus.cli.main import _parser
from etlplus.web import openapi
from etlplus.web.routes import ROUTES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IN_BLOCKS = re.compile(r"(?:^(?:\$ )?|\$\(|/)etlplus ([a-z-]+[^\n)#|>]*)", re.MULTILINE)
IN_PROSE = re.compile(r"`etlplus ([a-z-]+[^`#]*)`")


def below(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    """The commands of a command."""
    return {
        name: command
        for action in parser._actions
        if isinstance(action, _SubParsersAction)
        for name, command in action.choices.items()
    }


def unknown(words: list[str]) -> Iterator[str]:
    """What the command line would not understand of these words: commands that are not there, and options of none."""
    parser, words = _parser(), list(completed(words))
    while commands := below(parser):
        if not words or words[0].startswith("-"):
            break
        if words[0] not in commands:
            yield words[0]
            return
        parser = commands[words.pop(0)]
    known = parser._option_string_actions
    yield from (word for word in words if word.startswith("--") and word.partition("=")[0] not in known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_a_page_names_are_there(page: Path) -> None:
    """With each of their options."""
    text = page.read_text("utf-8")
    typed = [words for block in BLOCK.findall(text) for words in IN_BLOCKS.findall(block)] + IN_PROSE.findall(text)
    assert {words: wrong for words in typed if (wrong := list(unknown(words.split())))} == {}


def test_a_command_that_is_not_there_would_be_found() -> None:
    """And an option, also below a group that lists without a command."""
    assert list(unknown(["jobs", "mend"])) == ["mend"]
    assert list(unknown(["runs", "start", "people", "--fellow"])) == ["--fellow"]
    assert list(unknown(["letters", "list", "--code", "timeout"])) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_routes_that_a_page_names_are_there(page: Path) -> None:
    """Those in the prose; the examples of the page on HTTP are sent to a daemon."""
    patterns = [("GET", openapi.PATH)] + [(route.method, re.sub(r"<\w+>", "[^/]+", route.path)) for route in ROUTES]
    named = re.findall(r"`(GET|POST|PUT|DELETE) (/(?:api|metrics)[\w/.-]*)`", page.read_text("utf-8"))
    missing = [
        f"{method} {path}"
        for method, path in named
        if not any(method == known and re.fullmatch(pattern, path) for known, pattern in patterns)
    ]
    assert missing == []
