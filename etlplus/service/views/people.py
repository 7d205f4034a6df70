"""
What the service shows of users.
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class UserView(msgspec.Struct, frozen=True):
    """A user, without anything that could be used to sign in."""

    id: str
    name: str
    role: str
    permissions: list[str]


class Grant(msgspec.Struct, frozen=True):
    """What signing in gives: a bearer token and the moment it stops counting."""

    access_token: str
    expires_at: datetime
    expires_in_s: int
    token_type: str = "Bearer"
