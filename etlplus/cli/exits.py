"""
How a command ends: one table of exit statuses, and which error ends in which.
"""

from __future__ import annotations

from enum import IntEnum

from etlplus.errors import (
    Conflict,
    EtlplusError,
    Forbidden,
    Invalid,
    Misconfigured,
    NotFound,
    TooMany,
    Unauthenticated,
    Unavailable,
)


class Exit(IntEnum):
    """An exit status; ``MEANING`` says each in a sentence."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INVALID = 3
    CONFIGURATION = 4
    NOT_FOUND = 5
    CONFLICT = 6
    NOT_ALLOWED = 7
    UNAVAILABLE = 8
    INTERNAL = 70
    INTERRUPTED = 130


MEANING: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: "the run failed or was cancelled, or the figures do not reconcile",
    Exit.USAGE: "the command line was not understood",
    Exit.INVALID: "a file or a value was refused; nothing was changed",
    Exit.CONFIGURATION: "the configuration cannot be used; nothing was started",
    Exit.NOT_FOUND: "there is no such job or run",
    Exit.CONFLICT: "it does not fit the present state",
    Exit.NOT_ALLOWED: "not signed in, or without the permission",
    Exit.UNAVAILABLE: "the daemon or its store does not answer now; try again later",
    Exit.INTERNAL: "a mistake in etlplus itself",
    Exit.INTERRUPTED: "interrupted, from the keyboard or by a signal",
}

_EXIT_OF: tuple[tuple[type[EtlplusError], Exit], ...] = (
    (Misconfigured, Exit.CONFIGURATION),
    (Invalid, Exit.INVALID),
    (NotFound, Exit.NOT_FOUND),
    (Conflict, Exit.CONFLICT),
    (Unauthenticated, Exit.NOT_ALLOWED),
    (Forbidden, Exit.NOT_ALLOWED),
    (TooMany, Exit.UNAVAILABLE),
    (Unavailable, Exit.UNAVAILABLE),
)


def exit_of(error: EtlplusError) -> Exit:
    """The status for an error: that of the first kind it is."""
    return next((status for kind, status in _EXIT_OF if isinstance(error, kind)), Exit.INTERNAL)


def table() -> str:
    """The whole table, as help shows it."""
    return "exit status:\n" + "\n".join(f"  {status.value:<4}{MEANING[status]}" for status in Exit)
