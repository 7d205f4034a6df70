"""
Statements about what workers publish for each other's watchers.
"""

from __future__ import annotations

PUBLISH = """
    WITH old AS (DELETE FROM bulletin WHERE worker_id = $1 AND number <= $2::bigint - $4::bigint)
    INSERT INTO bulletin (worker_id, number, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""
BULLETINS = """
    SELECT bulletin.worker_id, number, body
    FROM bulletin LEFT JOIN unnest($2::text[], $3::bigint[]) AS seen (worker_id, last) USING (worker_id)
    WHERE bulletin.worker_id <> $1 AND number > coalesce(seen.last, 0)
    ORDER BY bulletin.worker_id, number LIMIT $4
"""
NUMBERS = """
    SELECT worker.id, coalesce(max(number), 0) AS number
    FROM worker LEFT JOIN bulletin ON bulletin.worker_id = worker.id WHERE worker.id <> $1 GROUP BY worker.id
"""
OTHERS = "SELECT id FROM worker WHERE id <> $1"
FORGET = "DELETE FROM bulletin WHERE NOT EXISTS (SELECT FROM worker WHERE worker.id = bulletin.worker_id)"
