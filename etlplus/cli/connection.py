"""
Carrying out one command against a running daemon: connect, ask, show.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import trio

from etlplus.cli.arguments import token_of
from etlplus.client import connect

if TYPE_CHECKING:
    from etlplus.client import Client


def with_client(chosen: argparse.Namespace, act: Callable[[Client], Awaitable[int]]) -> int:
    """Run ``act`` with a client that is signed in."""

    async def connected() -> int:
        async with connect(chosen.url, token=token_of(chosen)) as client:
            return await act(client)

    return trio.run(connected)


def show(value: object, *, as_json: bool, text: str) -> None:
    """One thing on standard output: the whole of it as JSON, or in words."""
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    elif text:
        print(text)


def show_gone(kind: str, name: str, *, as_json: bool) -> None:
    """That something is deleted."""
    show({"deleted": {kind: name}}, as_json=as_json, text=f"the {kind} {name} is deleted")


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as a table of text, each column as wide as it must be."""
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%SZ")
    return "-" if value is None or value == "" else str(value)
