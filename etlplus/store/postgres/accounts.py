"""
Users on PostgreSQL.
"""

from __future__ import annotations

from datetime import datetime

from asyncpg import UniqueViolationError

from etlplus.errors import Conflict
from etlplus.jobs.ids import Ids
from etlplus.jobs.users import User, UserDraft, changed, made, signed_out
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import encode, found, one
from etlplus.store.postgres.sql import accounts as sql


async def save_user(db: Db, ids: Ids, draft: UserDraft, now: datetime, user_id: str | None) -> User:
    present = await _user_for_change(db, user_id) if user_id is not None else None
    return await _put(db, changed(present, draft) if present is not None else made(draft, ids.new(now), now))


async def claim_bootstrap(db: Db, ids: Ids, draft: UserDraft, now: datetime) -> User:
    await db.execute(sql.LOCK_ACCOUNTS)
    if await db.fetchval(sql.ANY_ACCOUNT):
        raise Conflict("there is a user already", code="bootstrap_closed")
    return await save_user(db, ids, draft, now, None)


async def bump_epoch(db: Db, user_id: str) -> User:
    return await _put(db, signed_out(await _user_for_change(db, user_id)))


async def user(db: Db, user_id: str) -> User:
    return found(await one(db, User, sql.ACCOUNT, user_id), "user", user_id)


async def user_named(db: Db, name: str) -> User | None:
    return await one(db, User, sql.ACCOUNT_NAMED, name)


async def has_users(db: Db) -> bool:
    return await db.fetchval(sql.ANY_ACCOUNT)


async def _user_for_change(db: Db, user_id: str) -> User:
    return found(await one(db, User, sql.ACCOUNT_FOR_CHANGE, user_id), "user", user_id)


async def _put(db: Db, saved: User) -> User:
    try:
        await db.execute(sql.PUT_ACCOUNT, saved.id, saved.name, encode(saved))
    except UniqueViolationError as error:
        raise Conflict(f"another user is called {saved.name!r}", code="name_taken") from error
    return saved
