"""
People who may sign in, and what a change of one means for those who have.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from etlplus.jobs.names import Name


class UserDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A user as the service makes one. The store sees only the hash of a password."""

    name: Name
    password_hash: str
    role: str
    disabled: bool = False


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may sign in. Raising ``auth_epoch`` makes every token given out before void."""

    id: str
    name: str
    password_hash: str
    role: str
    auth_epoch: int = 1
    disabled: bool = False
    created_at: datetime


def made(draft: UserDraft, user_id: str, now: datetime) -> User:
    """A new user."""
    return User(id=user_id, created_at=now, **msgspec.structs.asdict(draft))


def changed(user: User, draft: UserDraft) -> User:
    """The user as the draft wants him. Whoever is signed in has to do so anew if the password, the role or ``disabled`` is
    another.
    """
    weighty = any(getattr(user, name) != getattr(draft, name) for name in ("password_hash", "role", "disabled"))
    return msgspec.structs.replace(user, auth_epoch=user.auth_epoch + weighty, **msgspec.structs.asdict(draft))


def signed_out(user: User) -> User:
    """The user, once every token that was given out before is void."""
    return msgspec.structs.replace(user, auth_epoch=user.auth_epoch + 1)
