"""Passwords: what is checked, and how dear it is."""

from __future__ import annotations

from typing import Any

import argon2

from etlplus.service.passwords import Passwords

PASSWORD = "correct horse battery"


class Counting(argon2.PasswordHasher):
    """Writes down what each check and each hash cost."""

    def __init__(self) -> None:
        super().__init__(time_cost=2, memory_cost=64, parallelism=1)
        self.costs: list[argon2.Parameters] = []

    def hash(self, *args: Any, **kwargs: Any) -> str:
        made = super().hash(*args, **kwargs)
        self.costs.append(argon2.extract_parameters(made))
        return made

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:  # noqa: A002 - the name is argon2's
        self.costs.append(argon2.extract_parameters(str(hash)))
        return super().verify(hash, password)


async def test_a_wrong_name_costs_what_a_wrong_password_costs() -> None:
    """One check by the same rules, from the first on: the time tells nobody which names there are."""
    hasher = Counting()
    passwords = Passwords(hasher)
    stored = await passwords.hash(PASSWORD)
    (cost,) = hasher.costs
    assert await passwords.verify(stored, PASSWORD)
    assert not await passwords.verify(stored, "wrong horse battery")
    assert not await passwords.verify(None, PASSWORD)
    assert hasher.costs == [cost] * 4


async def test_the_rules_are_those_that_argon2_recommends() -> None:
    """Also for the hash of nobody."""
    passwords = Passwords()
    stored = await passwords.hash(PASSWORD)
    assert argon2.extract_parameters(stored) == argon2.profiles.RFC_9106_LOW_MEMORY
