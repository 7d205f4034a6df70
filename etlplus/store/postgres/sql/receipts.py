"""
Statements about requests that take effect once.
"""

from __future__ import annotations

# Of several units with one key, the first writes; the others wait for its end, and then find its receipt.
LEAVE = """
    INSERT INTO receipt (principal, key, route, fingerprint, done_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (principal, key) DO UPDATE SET
        route = excluded.route, fingerprint = excluded.fingerprint, done_at = excluded.done_at,
        expires_at = excluded.expires_at, made = '{}', status = NULL, headers = NULL, body = NULL
    WHERE receipt.expires_at <= excluded.done_at
    RETURNING true
"""
NAME_MADE = "UPDATE receipt SET made = $3 WHERE principal = $1 AND key = $2"
FIND = """
    SELECT route, fingerprint, made, status, headers, body, done_at FROM receipt
    WHERE principal = $1 AND key = $2 AND expires_at > $3
"""
# A request that changed nothing has left no receipt; its answer stands all the same.
KEEP_ANSWER = """
    INSERT INTO receipt (principal, key, route, fingerprint, done_at, expires_at, status, headers, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (principal, key) DO UPDATE SET status = excluded.status, headers = excluded.headers, body = excluded.body
    WHERE receipt.fingerprint = excluded.fingerprint AND receipt.status IS NULL
"""
FORGET = """
    DELETE FROM receipt WHERE (principal, key) IN (
        SELECT principal, key FROM receipt WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
    )
"""
