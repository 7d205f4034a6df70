"""
Passwords: hashed with Argon2id in a thread, few at a time, and never faster for an unknown name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import argon2
import trio

from etlplus.errors import Invalid, Problem, TooMany

T = TypeVar("T")

LENGTH_MIN = 12
LENGTH_MAX = 1024
AT_A_TIME = 2
WAITING_MAX = 32


class Passwords:
    """Hashes and checks. Each check holds 64 MiB for a moment (RFC 9106, low-memory profile), so two run at a time."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher()
        self._limiter = trio.CapacityLimiter(AT_A_TIME)
        self._nobody = _nobodys(self._hasher)

    async def hash(self, password: str) -> str:
        """The hash to store.

        Raises:
            Invalid: too short or too long.
        """
        if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
            accepted = f"{LENGTH_MIN} to {LENGTH_MAX} characters, any of them"
            raise Invalid(
                "the password is not accepted", [Problem("its length is wrong", "/password", suggestion=accepted)]
            )
        return await self._in_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password fits. Without a stored hash the answer is no, after the same time."""
        if len(password) > LENGTH_MAX:
            return False
        fits = await self._in_thread(self._fits, stored or self._nobody, password)
        return fits and stored is not None

    def _fits(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[..., T], *values: str) -> T:
        if self._limiter.statistics().tasks_waiting >= WAITING_MAX:
            raise TooMany("too many sign-ins at a time", retry_after_s=1.0)
        return await trio.to_thread.run_sync(work, *values, limiter=self._limiter)


def _nobodys(hasher: argon2.PasswordHasher) -> str:
    """A hash that no password has, and that takes as long to check as one that was made; all zeros, written in base64."""
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = "A" * 22, "A" * 43
    return f"$argon2id$v=19${costs}${salt}${digest}"
