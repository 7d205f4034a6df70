"""A password is hashed slowly, apart from everything else, and a wrong name costs as much as a wrong password."""

from __future__ import annotations

from functools import partial

import argon2
import pytest
import trio

from etlplus.errors import Invalid, Unavailable
from etlplus.service.passwords import SMALL, STANDARD, Passwords, check_password

QUICK = argon2.Parameters(argon2.Type.ID, 19, salt_len=16, hash_len=32, time_cost=1, memory_cost=64, parallelism=1)
GOOD = "correct horse battery staple"


async def test_the_right_password_is_right_and_another_is_wrong():
    """The stored text is an argon2id hash; it verifies its own password only."""
    passwords = Passwords(QUICK)
    stored = await passwords.hash(GOOD)
    assert stored.startswith("$argon2id$")
    assert (await passwords.verify(GOOD, stored)).right
    assert not (await passwords.verify(GOOD + "!", stored)).right
    assert not (await passwords.verify("", stored)).right


async def test_nobody_has_no_password():
    """An unknown name is refused whatever is typed, also the hash's own text."""
    passwords = Passwords(QUICK)
    for typed in ("", GOOD, "\ud800"):
        assert not (await passwords.verify(typed, None)).right


async def test_an_unknown_name_costs_a_whole_hash(monkeypatch):
    """The same work is done for a name that does not exist, so that time tells nothing."""
    passwords = Passwords(QUICK)
    costs = []
    real = argon2.PasswordHasher.verify

    def watched(hasher, stored, typed):
        costs.append(argon2.extract_parameters(stored))
        return real(hasher, stored, typed)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", watched)
    await passwords.verify(GOOD, None)
    await passwords.verify("wrong", await passwords.hash(GOOD))
    assert costs == [QUICK, QUICK]


async def test_a_hash_of_another_cost_is_renewed_at_sign_in():
    """When settings are raised, the next right sign-in brings the new hash, and a wrong one brings nothing."""
    stored = await Passwords(QUICK).hash(GOOD)
    today = Passwords(SMALL)
    assert (await today.verify("wrong", stored)).new_hash is None
    verdict = await today.verify(GOOD, stored)
    assert verdict.right
    assert verdict.new_hash is not None
    assert await today.verify(GOOD, verdict.new_hash) == type(verdict)(True, None)


async def test_a_damaged_hash_fits_nobody():
    """Whatever stands in the store, the answer is no."""
    assert not (await Passwords(QUICK).verify(GOOD, "$argon2id$broken")).right


async def test_the_spelling_of_a_character_does_not_matter():
    """A composed and a decomposed umlaut are the same password."""
    passwords = Passwords(QUICK)
    stored = await passwords.hash("sch\u00f6ne gr\u00fc\u00dfe an alle")
    assert (await passwords.verify("scho\u0308ne gru\u0308\u00dfe an alle", stored)).right


async def test_a_crowd_is_turned_away_and_only_two_hash_at_once():
    """Sign-ins beyond the waiting room get a clear error at once instead of eating the memory."""
    passwords = Passwords(STANDARD, waiting_max=3)
    turned_away = []

    async def try_once():
        try:
            await passwords.verify(GOOD, None)
        except Unavailable as error:
            turned_away.append(error.reason)

    async with trio.open_nursery() as nursery:
        for _ in range(9):
            nursery.start_soon(try_once)
    assert turned_away == ["overloaded"] * 4
    assert not (await passwords.verify(GOOD, None)).right


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "elevenchars",
        "x" * 1025,
        "aaaaaaaaaaaaaaaa",
        "Password2024!!",
        "passwordpassword",
        "Welcome12345!",
        "123456789012",
        "qwertyuiop12",
        "etlplus-admin-2026",
        "alice.lovelace1",
        "twelve chars\ud800",
    ],
)
def test_a_weak_password_is_refused_with_a_reason(password):
    """The problem points at the field, says why and suggests something better."""
    with pytest.raises(Invalid) as caught:
        check_password(password, name="alice.lovelace")
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.code) == ("/password", "weak_password")
    assert problem.message
    assert problem.suggestion


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "twelve chars",
        "839201746251",
        "zażółć gęślą jaźń",
        "🐎🔋📎🦊🐢🌲🌊🔥🍀🎲🎹🌵",
        "vG7#kQ2!mX9z",
        "w" + "xyz12" * 200,
    ],
)
def test_a_long_enough_password_needs_no_special_signs(password):
    """No rules about kinds of characters, and length is welcome."""
    check_password(password, name="bob")


async def test_nothing_is_cut_off():
    """The last of a thousand characters counts."""
    passwords = Passwords(QUICK)
    long = partial("{}{}".format, "abcde fghij " * 80)
    stored = await passwords.hash(long("x"))
    assert not (await passwords.verify(long("y"), stored)).right
