"""
Users on SQLite.
"""

from __future__ import annotations

from datetime import datetime

from etlplus.errors import Conflict
from etlplus.jobs.ids import Ids
from etlplus.jobs.users import User, UserDraft, changed, made, signed_out
from etlplus.store.sqlite.records import Db, encode, found, one


def save_user(db: Db, ids: Ids, draft: UserDraft, now: datetime, user_id: str | None) -> User:
    present = user(db, user_id) if user_id is not None else None
    holder = user_named(db, draft.name)
    if holder is not None and holder.id != user_id:
        raise Conflict(f"another user is called {draft.name!r}", code="name_taken")
    return _put(db, changed(present, draft) if present is not None else made(draft, ids.new(now), now))


def claim_bootstrap(db: Db, ids: Ids, draft: UserDraft, now: datetime) -> User:
    if has_users(db):
        raise Conflict("there is a user already", code="bootstrap_closed")
    return save_user(db, ids, draft, now, None)


def bump_epoch(db: Db, user_id: str) -> User:
    return _put(db, signed_out(user(db, user_id)))


def user(db: Db, user_id: str) -> User:
    return found(one(db, User, "SELECT doc FROM user WHERE id = ?", user_id), "user", user_id)


def user_named(db: Db, name: str) -> User | None:
    return one(db, User, "SELECT doc FROM user WHERE name = ?", name)


def has_users(db: Db) -> bool:
    return db.execute("SELECT 1 FROM user LIMIT 1").fetchone() is not None


def _put(db: Db, saved: User) -> User:
    db.execute("INSERT OR REPLACE INTO user VALUES (?, ?, ?)", (saved.id, saved.name, encode(saved)))
    return saved
