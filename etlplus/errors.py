"""
One vocabulary of errors: what went wrong, who must act, and where exactly.

Every error that may reach a person or another program is one of these kinds. A kind has a stable code; the web room maps
kinds to HTTP statuses, the command line maps them to exit codes, and nobody else decides how an error is told. The runtime
keeps errors of its own, because it works without this package.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with something a person wrote: a sentence, and the exact place.

    ``pointer`` is an RFC 6901 JSON pointer into the document; ``line`` and ``column`` count from 1 and are given when the
    document was a text file. ``suggestion`` says what would be accepted.
    """

    message: str
    pointer: str = ""
    code: str = "invalid"
    file: str | None = None
    line: int | None = None
    column: int | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None) or self.pointer
        said = f"{place}: {self.message}" if place else self.message
        return f"{said} ({self.suggestion})" if self.suggestion else said


def told(message: str, problems: Iterable[Problem]) -> str:
    """A sentence, and below it a line for each problem."""
    return "\n  ".join([message, *map(str, problems)])


class EtlplusError(Exception):
    """Anything etlplus refuses or fails to do. ``code`` is stable and meant for programs, the message is for people."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = code or self.code


class Invalid(EtlplusError):
    """The caller wrote something we cannot accept; each problem names its place. The caller must mend it."""

    code = "invalid"

    def __init__(self, message: str, problems: Iterable[Problem] = (), *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return told(self.message, self.problems)


class NotFound(EtlplusError):
    """The named thing does not exist, or the caller may not know that it does."""

    code = "not_found"


class Conflict(EtlplusError):
    """The request fits, but not the present state (name taken, stale version, run already finished). Where a field of the
    request is what does not fit, a problem names it.
    """

    code = "conflict"

    def __init__(self, message: str, problems: Iterable[Problem] = (), *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return told(self.message, self.problems)


class Stale(Conflict):
    """Somebody else changed the thing since the version that the request names: look at it anew, then ask again."""

    code = "stale_version"


class Unauthenticated(EtlplusError):
    """No credential, or one that no longer counts. The caller must sign in."""

    code = "unauthenticated"


class Forbidden(EtlplusError):
    """A good credential without the permission that ``scope`` names."""

    code = "forbidden"

    def __init__(self, message: str, *, scope: str) -> None:
        super().__init__(message)
        self.scope = scope


class TooMany(EtlplusError):
    """A limit was reached; it will be free again in about ``retry_after_s`` seconds."""

    code = "too_many"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(EtlplusError):
    """Something we depend on does not answer now. Nobody must act yet: try again later."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    """The store is closed, unreachable, or did not answer in time; whether a write took effect may be unknown."""

    code = "store_unavailable"


class Misconfigured(Invalid):
    """The operator's configuration cannot be used; nothing was started."""

    code = "misconfigured"
