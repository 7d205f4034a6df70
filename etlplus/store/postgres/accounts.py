"""
Users on PostgreSQL.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from asyncpg import UniqueViolationError
from msgspec.structs import replace

from etlplus.errors import Conflict
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import User, UserDraft
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import encode, found, one
from etlplus.store.postgres.sql import accounts as sql


async def save_user(db: Db, ids: Ids, draft: UserDraft, now: datetime, user_id: str | None) -> User:
    fields = msgspec.structs.asdict(draft)
    if user_id is None:
        return await _put(db, User(id=ids.new(now), created_at=now, **fields))
    present = found(await one(db, User, sql.ACCOUNT_FOR_CHANGE, user_id), "user", user_id)
    changed = any(getattr(present, name) != fields[name] for name in ("password_hash", "role", "disabled"))
    return await _put(db, replace(present, auth_epoch=present.auth_epoch + changed, **fields))


async def claim_bootstrap(db: Db, ids: Ids, draft: UserDraft, now: datetime) -> User:
    await db.execute(sql.LOCK_ACCOUNTS)
    if await db.fetchval(sql.ANY_ACCOUNT):
        raise Conflict("there is a user already", code="bootstrap_closed")
    return await save_user(db, ids, draft, now, None)


async def bump_epoch(db: Db, user_id: str) -> User:
    user = found(await one(db, User, sql.ACCOUNT_FOR_CHANGE, user_id), "user", user_id)
    return await _put(db, replace(user, auth_epoch=user.auth_epoch + 1))


async def user(db: Db, user_id: str) -> User:
    return found(await one(db, User, sql.ACCOUNT, user_id), "user", user_id)


async def user_named(db: Db, name: str) -> User | None:
    return await one(db, User, sql.ACCOUNT_NAMED, name)


async def has_users(db: Db) -> bool:
    return await db.fetchval(sql.ANY_ACCOUNT)


async def _put(db: Db, user: User) -> User:
    try:
        await db.execute(sql.PUT_ACCOUNT, user.id, user.name, encode(user))
    except UniqueViolationError as error:
        raise Conflict(f"another user is called {user.name!r}", code="name_taken") from error
    return user
