"""
Statements about users.
"""

from __future__ import annotations

ACCOUNT = "SELECT doc FROM account WHERE id = $1"
ACCOUNT_FOR_CHANGE = "SELECT doc FROM account WHERE id = $1 FOR UPDATE"
ACCOUNT_NAMED = "SELECT doc FROM account WHERE name = $1"
ANY_ACCOUNT = "SELECT EXISTS (SELECT FROM account)"
LOCK_ACCOUNTS = "LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE"
PUT_ACCOUNT = """
    INSERT INTO account (id, name, doc) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc
"""
