"""
Passwords: the rule for choosing one, and the slow hash that guards it.

Hashing with argon2id takes about a tenth of a second and 64 MiB on purpose, so it runs in threads, at most two at a time, and
only a few may wait. This file knows no users: the identity facet brings the stored hash, or none when the name is unknown,
and both take the same time.
"""

from __future__ import annotations

import os
import unicodedata
from base64 import b64encode
from functools import partial

import argon2
import msgspec
import trio
from argon2.exceptions import InvalidHashError, VerificationError

from etlplus.errors import Invalid, Problem, Unavailable

LENGTH_MIN = 12
LENGTH_MAX = 1024
"""Far above any phrase; it keeps a sign-in from being a way to send us megabytes."""

STANDARD = argon2.profiles.RFC_9106_LOW_MEMORY
SMALL = argon2.Parameters(
    argon2.Type.ID, version=19, salt_len=16, hash_len=32, time_cost=2, memory_cost=19 * 1024, parallelism=1
)
"""19 MiB and one lane: the least that is still advised, for machines where 64 MiB a sign-in is too much."""

# The words behind most passwords that people reuse. A password is refused when nothing but such words, digits and
# punctuation is left of it: twelve characters of this kind are guessed in seconds.
_WORN_WORDS = (
    "password", "passwort", "passw0rd", "p@ssword", "p@ssw0rd", "welcome", "letmein", "changeme", "changeit", "administrator",
    "admin", "secret", "qwertyuiop", "qwerty", "qwertz", "azerty", "asdfghjkl", "asdfgh", "zxcvbnm", "1q2w3e4r5t", "1q2w3e4r",
    "1qaz2wsx", "3edc", "abcdefghijkl", "abcdef", "abc", "iloveyou", "football", "baseball", "dragon", "monkey", "sunshine",
    "princess", "master", "shadow", "superman", "batman", "trustno1", "whatever", "starwars", "computer", "internet",
    "default", "guest", "login", "test", "user", "root", "hello", "google", "facebook", "summer", "winter", "spring", "autumn",
    "1234567890", "0987654321", "123456", "654321", "12345",
)  # fmt: skip
_OUR_WORDS = ("etlplus", "etl", "plus", "quart", "trio")


class Verdict(msgspec.Struct, frozen=True):
    """Whether the password was right; ``new_hash`` is given when it was, but under settings that are out of date."""

    right: bool
    new_hash: str | None = None


def check_password(password: str, *, name: str = "") -> None:
    """Refuse a password that would be guessed: too short, or made of nothing but worn words, the user's name and digits.

    There are no rules about kinds of characters, and nothing is cut off.

    Raises:
        Invalid: with the reason and what would be accepted, at ``/password``.
    """
    text = _normal(password)
    why = None
    if not _encodable(text):
        why = "it holds half of a character (a lone surrogate)"
    elif len(text) < LENGTH_MIN:
        why = f"it has {len(text)} characters; {LENGTH_MIN} or more are needed"
    elif len(text) > LENGTH_MAX:
        why = f"it has {len(text)} characters; at most {LENGTH_MAX} are accepted"
    elif _is_worn(text, name):
        why = "it is among the first that would be guessed"
    if why:
        problem = Problem(why, pointer="/password", code="weak_password", suggestion="several unrelated words do well")
        raise Invalid("this password cannot be used", [problem], code="weak_password")


def _is_worn(text: str, name: str) -> bool:
    """Whether too little is left without the worn words: fewer than five different signs, or not even four letters."""
    whole = rest = text.casefold()
    for word in sorted((*_WORN_WORDS, *_OUR_WORDS, _normal(name).casefold()), key=len, reverse=True):
        rest = rest.replace(word, "") if word else rest
    return len(set(rest)) < 5 or (rest != whole and sum(sign.isalpha() for sign in rest) < 4)


class Passwords:
    """Hashes and verifies, two at a time.

    Args:
        settings: The cost of one hash; hashes of another cost are renewed when their owner signs in.
        waiting_max: How many may wait for a thread before the next one is told to come back.
    """

    def __init__(self, settings: argon2.Parameters = STANDARD, *, waiting_max: int = 16) -> None:
        self._hasher = argon2.PasswordHasher.from_parameters(settings)
        self._nobody = _hash_of_nothing(settings)
        self._threads = trio.CapacityLimiter(2)
        self._waiting_max = waiting_max

    async def hash(self, password: str) -> str:
        """The text to store for a password that ``check_password`` accepts.

        Raises:
            Unavailable: too many are waiting already.
        """
        self._check_queue()
        return await trio.to_thread.run_sync(self._hasher.hash, _normal(password), limiter=self._threads)

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Whether the password belongs to the stored hash. With None (no such user) it is wrong, after the same time.

        Raises:
            Unavailable: too many are waiting already.
        """
        self._check_queue()
        judge = partial(self._judge, _normal(password), stored)
        return await trio.to_thread.run_sync(judge, limiter=self._threads)

    def _judge(self, text: str, stored: str | None) -> Verdict:
        try:
            self._hasher.verify(stored or self._nobody, text if _encodable(text) else "")
        except (VerificationError, InvalidHashError):
            return Verdict(False)
        if stored is None or not _encodable(text):
            return Verdict(False)
        stale = self._hasher.check_needs_rehash(stored)
        return Verdict(True, self._hasher.hash(text) if stale else None)

    def _check_queue(self) -> None:
        if self._threads.statistics().tasks_waiting >= self._waiting_max:
            raise Unavailable("too many are signing in at this moment; try again in a few seconds", code="overloaded")


def _hash_of_nothing(settings: argon2.Parameters) -> str:
    """A hash that no password has, at the cost of a real one: made of random bytes, so that making it costs nothing."""
    salt, digest = (
        b64encode(os.urandom(length)).rstrip(b"=").decode() for length in (settings.salt_len, settings.hash_len)
    )
    cost = f"m={settings.memory_cost},t={settings.time_cost},p={settings.parallelism}"
    return f"$argon2id$v={settings.version}${cost}${salt}${digest}"


def _normal(text: str) -> str:
    """One spelling for what looks the same, so that a password typed on another keyboard still fits."""
    return unicodedata.normalize("NFKC", text)


def _encodable(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)
