"""
Statements about the logs of attempts.
"""

from __future__ import annotations

# The line of the run is locked: a log grows in one order, and only while its attempt holds the run.
HOLDS = """
    SELECT id FROM run_live WHERE id = $1 AND attempt = $2 AND worker_id = $3 AND state = 'running' FOR UPDATE
"""
STATE = "SELECT lines, kept_bytes, dropped FROM log_state WHERE run_id = $1 AND attempt = $2"
PUT_STATE = """
    INSERT INTO log_state (run_id, attempt, lines, kept_bytes, dropped) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (run_id, attempt) DO UPDATE SET
        lines = excluded.lines, kept_bytes = excluded.kept_bytes, dropped = excluded.dropped
"""
PUT_LINES = """
    INSERT INTO attempt_log (run_id, attempt, number, at, level, line)
    SELECT $1, $2, * FROM unnest($3::int[], $4::timestamptz[], $5::text[], $6::text[])
"""
LINES = """
    SELECT number, at, level, line AS text FROM attempt_log
    WHERE run_id = $1 AND attempt = $2 AND number > $3 AND ($4::text IS NULL OR strpos(lower(line), lower($4)) > 0)
    ORDER BY number LIMIT $5
"""
TAIL = """
    SELECT * FROM (
        SELECT number, at, level, line AS text FROM attempt_log WHERE run_id = $1 AND attempt = $2
        ORDER BY number DESC LIMIT $3
    ) AS newest ORDER BY number
"""
