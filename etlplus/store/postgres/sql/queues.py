"""
Statements about queues and limits.
"""

from __future__ import annotations

_QUEUE = "name, slots, mode, created_at, updated_at"
QUEUE_FOR_CHANGE = "SELECT name FROM queue WHERE name = $1 FOR UPDATE"
# The share lock keeps the queue from being deleted before the job that names it is there to be seen.
QUEUE_NAMES = "SELECT name FROM queue ORDER BY name FOR KEY SHARE"
QUEUE_MODES = "SELECT name, mode FROM queue WHERE name = ANY($1)"
PUT_QUEUE = f"""
    INSERT INTO queue (name, slots, mode, created_at, updated_at) VALUES ($1, $2, 'open', $3, $3)
    ON CONFLICT (name) DO UPDATE SET slots = excluded.slots, updated_at = excluded.updated_at
    RETURNING {_QUEUE}
"""
SET_MODE = f"UPDATE queue SET mode = $2, updated_at = $3 WHERE name = $1 RETURNING {_QUEUE}"
USE_OF_QUEUE = """
    SELECT EXISTS (SELECT FROM run_live JOIN lane ON lane.id = run_live.lane WHERE lane.queue = $1) AS has_runs,
        ARRAY(SELECT name FROM job WHERE doc ->> 'queue' = $1 ORDER BY name LIMIT $2) AS jobs
"""
# Its lanes stay: somebody who enqueues at this moment may have found them already.
DELETE_QUEUE = "DELETE FROM queue WHERE name = $1"
QUEUES = f"""
    SELECT
        {_QUEUE},
        (
            SELECT count(*) FROM (
                SELECT FROM lane JOIN run_live ON run_live.lane = lane.id AND state = 'queued'
                WHERE lane.queue = queue.name LIMIT $1
            ) AS listed
        ) AS queued,
        (
            SELECT min(best.run_at) FROM lane CROSS JOIN LATERAL (
                SELECT run_at FROM run_live WHERE state = 'queued' AND run_live.lane = lane.id ORDER BY rank_at, id LIMIT 1
            ) AS best
            WHERE lane.queue = queue.name
        ) AS oldest_at
    FROM queue ORDER BY name
"""
IN_STATE = """
    SELECT queue, count(*) AS amount FROM (SELECT queue FROM run_live WHERE state = $1 ORDER BY id LIMIT $2) AS listed
    GROUP BY queue
"""

_LIMIT = "name, slots, rate, created_at, updated_at"
LIMITS = f"SELECT {_LIMIT} FROM limit_rule ORDER BY name"
LIMIT_FOR_CHANGE = "SELECT name FROM limit_rule WHERE name = $1 FOR UPDATE"
LIMIT_NAMES = "SELECT name FROM limit_rule ORDER BY name FOR KEY SHARE"
PUT_LIMIT = f"""
    INSERT INTO limit_rule (name, slots, rate, created_at, updated_at) VALUES ($1, $2, $4, $3, $3)
    ON CONFLICT (name) DO UPDATE SET slots = excluded.slots, rate = excluded.rate, updated_at = excluded.updated_at
    RETURNING {_LIMIT}
"""
USE_OF_LIMIT = """
    SELECT EXISTS (SELECT FROM run_live JOIN lane ON lane.id = run_live.lane WHERE lane.limit_name = $1) AS has_runs,
        ARRAY(SELECT name FROM job WHERE doc -> 'limit' ->> 'name' = $1 ORDER BY name LIMIT $2) AS jobs
"""
# Its lanes are forgotten when they are idle.
DELETE_LIMIT = "DELETE FROM limit_rule WHERE name = $1"
KEYS_OF_LIMIT = "SELECT DISTINCT limit_key FROM lane WHERE limit_name = $1"
# As many as there should be; what is above is dropped as soon as nobody holds it.
ADD_SLOTS = """
    INSERT INTO limit_slot (key, slot) SELECT key, slot FROM unnest($1::text[]) AS key, generate_series(1, $2::int) AS slot
    ON CONFLICT DO NOTHING
"""
DROP_SLOTS = "DELETE FROM limit_slot WHERE key = ANY($1) AND slot > $2 AND run_id IS NULL"

BUCKETS_OF_LIMIT = "SELECT rate, credit, at, key FROM limit_bucket WHERE limit_name = $1 ORDER BY key FOR UPDATE"
DROP_BUCKETS = "DELETE FROM limit_bucket WHERE limit_name = $1"
# No lane of the limit waits for a token any more, for at another rate that comes at another time.
UNPACE_LANES = """
    WITH waiting AS (SELECT id FROM lane WHERE limit_name = $1 AND ready_at IS NOT NULL ORDER BY id FOR UPDATE)
    UPDATE lane SET ready_at = NULL FROM waiting WHERE lane.id = waiting.id
"""
