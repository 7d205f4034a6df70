"""What a change of a user means for those who have signed in as that user."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from etlplus.jobs.users import UserDraft, changed, made, signed_out

DRAFT = UserDraft(name="ada", password_hash="x", role="operator")
USER = made(DRAFT, "u", datetime(2026, 5, 4, tzinfo=UTC))


def test_another_name_voids_no_token() -> None:
    """Nor does a change that changes nothing."""
    assert changed(USER, DRAFT) == USER
    assert changed(USER, replace(DRAFT, name="eve")) == replace(USER, name="eve")


@pytest.mark.parametrize("change", [{"password_hash": "y"}, {"role": "viewer"}, {"disabled": True}])
def test_another_password_or_role_voids_every_token(change: dict[str, object]) -> None:
    """As disabling a user and signing out do."""
    assert changed(USER, replace(DRAFT, **change)) == replace(USER, auth_epoch=2, **change)
    assert signed_out(USER) == replace(USER, auth_epoch=2)
