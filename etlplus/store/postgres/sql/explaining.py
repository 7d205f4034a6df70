"""
Statements that gather what stands between a run and a worker.
"""

from __future__ import annotations

from etlplus.store.postgres.sql.runs import KEPT

LINE = f"SELECT lane, rank_at, {KEPT} FROM run_live WHERE id = $1"
AROUND = """
    SELECT
        (SELECT mode FROM queue WHERE name = $1) AS mode,
        (SELECT slots FROM queue WHERE name = $1) AS queue_slots,
        (SELECT slots FROM limit_rule WHERE name = $2) AS key_slots,
        (SELECT slots FROM limit_rule WHERE name = '*') AS house_slots
"""
HOLDERS = "SELECT run_id FROM limit_slot WHERE key = $1 AND run_id IS NOT NULL ORDER BY slot"
BUCKETS = "SELECT rate, credit, at, key FROM limit_bucket WHERE key IN ($1, $2) ORDER BY key <> $1"
CARRYING = "SELECT worker_id, count(*) AS amount FROM run_live WHERE state = 'running' GROUP BY worker_id"
AHEAD = """
    SELECT count(*) FROM (
        SELECT FROM run_live WHERE state = 'queued' AND lane = $1 AND (rank_at, id) < ($2, $3) LIMIT $4
    ) AS ahead
"""
