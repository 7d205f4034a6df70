"""
Every statement that the PostgreSQL body sends, by name. No text of a caller is ever part of one.

Locks are always taken in the same order: job or worker, then unfinished runs by id, then tallies by name.
"""

from __future__ import annotations

LOCK_MIGRATIONS = "SELECT pg_advisory_xact_lock(7_310_579)"
CREATE_SCHEMA_VERSION = "CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY)"
SCHEMA_VERSION = "SELECT coalesce(max(version), 0) FROM schema_version"
SCHEMA_REACHED = "INSERT INTO schema_version VALUES ($1)"
DATABASE_SIZE = "SELECT pg_database_size(current_database())"
PING = "SELECT 1"

JOB = "SELECT doc FROM job WHERE id = $1"
JOB_FOR_CHANGE = "SELECT doc FROM job WHERE id = $1 FOR UPDATE"
JOB_NAMED = "SELECT doc FROM job WHERE name = $1"
JOBS = "SELECT doc FROM job WHERE name > $1 ORDER BY name LIMIT $2"
PUT_JOB = """
    INSERT INTO job (id, name, next_at, doc) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, next_at = excluded.next_at, doc = excluded.doc
"""
PUT_JOB_VERSION = "INSERT INTO job_version (job_id, version, doc) VALUES ($1, $2, $3)"
JOB_IS_USED = "SELECT EXISTS (SELECT FROM run_live WHERE job_id = $1)"
DELETE_JOB = "DELETE FROM job WHERE id = $1"
# The share lock keeps the job from being deleted before its new runs are there to be seen.
JOBS_FOR_RUNS = "SELECT doc FROM job WHERE id = ANY($1) ORDER BY id FOR KEY SHARE"
JOBS_DUE = "SELECT doc FROM job WHERE next_at <= $1 ORDER BY next_at, id LIMIT $2 FOR UPDATE SKIP LOCKED"
PUT_TICKS = """
    INSERT INTO tick (job_id, nominal_at, run_id) SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[])
    ON CONFLICT DO NOTHING RETURNING job_id
"""
MOVE_JOBS_ON = """
    UPDATE job SET next_at = moved.next_at, doc = moved.doc
    FROM unnest($1::text[], $2::timestamptz[], $3::json[]) AS moved (id, next_at, doc) WHERE job.id = moved.id
"""

# Whoever wants a unique key waits here for others who want it, in the order in which the keys were sorted.
LOCK_UNIQUE_KEYS = "SELECT pg_advisory_xact_lock(hashtextextended(key, 7310579)) FROM unnest($1::text[]) AS key"
UNIQUE_KEY_HOLDERS = "SELECT doc FROM run_live WHERE unique_key = ANY($1)"

RECORD_CHANGES = """
    WITH change AS MATERIALIZED (
        SELECT *
        FROM unnest(
            $1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::int[],
            $9::bool[], $10::text[], $11::int[], $12::json[], $13::json[], $14::bool[]
        ) AS c (
            id, job_id, state, queue, rank_at, run_at, worker_id, attempt,
            cancel_requested, unique_key, version, doc, event, is_final
        )
    ), told AS (
        INSERT INTO run_event (run_id, version, doc) SELECT id, version, event FROM change
    ), gone AS (
        DELETE FROM run_live USING change WHERE run_live.id = change.id AND change.is_final
    ), finished AS (
        INSERT INTO run (id, job_id, state, queue, doc)
        SELECT id, job_id, state, queue, doc FROM change WHERE is_final
    ), tallied AS (
        INSERT INTO tally (name, shard, amount)
        SELECT state, $15, count(*) FROM change WHERE is_final GROUP BY state ORDER BY state
        ON CONFLICT (name, shard) DO UPDATE SET amount = tally.amount + excluded.amount
    )
    INSERT INTO run_live (
        id, job_id, state, queue, rank_at, run_at, worker_id, attempt, cancel_requested, unique_key, doc
    )
    SELECT id, job_id, state, queue, rank_at, run_at, worker_id, attempt, cancel_requested, unique_key, doc
    FROM change WHERE NOT is_final
    ON CONFLICT (id) DO UPDATE SET
        state = excluded.state, rank_at = excluded.rank_at, run_at = excluded.run_at, worker_id = excluded.worker_id,
        attempt = excluded.attempt, cancel_requested = excluded.cancel_requested, doc = excluded.doc
"""
ADD_STALE = """
    INSERT INTO tally (name, shard, amount) VALUES ('stale', $1, $2)
    ON CONFLICT (name, shard) DO UPDATE SET amount = tally.amount + excluded.amount
"""

# The worker's row is locked against the rescue, which deletes it, and not against its own beat. The pick is materialized so
# that the planner can neither run it twice nor lock more rows than the limit.
CLAIM = """
    WITH me AS MATERIALIZED (
        SELECT id FROM worker WHERE id = $1 AND expires_at > $2 FOR KEY SHARE
    ), picked AS MATERIALIZED (
        SELECT id, rank_at, doc FROM run_live
        WHERE state = 'queued' AND EXISTS (SELECT FROM me)
        ORDER BY rank_at, id LIMIT $3
        FOR UPDATE SKIP LOCKED
    )
    SELECT (SELECT count(*) FROM me) AS alive, picked.doc AS run, job_version.doc AS job
    FROM (SELECT) AS always
    LEFT JOIN picked ON true
    LEFT JOIN job_version
        ON job_version.job_id = picked.doc ->> 'job_id' AND job_version.version = (picked.doc ->> 'job_version')::int
    ORDER BY picked.rank_at, picked.id
"""
PUT_ATTEMPTS = "INSERT INTO attempt (run_id, number, doc) SELECT * FROM unnest($1::text[], $2::int[], $3::json[])"
END_ATTEMPTS = """
    UPDATE attempt SET doc = ended.doc
    FROM unnest($1::text[], $2::int[], $3::json[]) AS ended (run_id, number, doc)
    WHERE attempt.run_id = ended.run_id AND attempt.number = ended.number
"""

_HELD = """
    SELECT live.doc AS run, attempt.doc AS attempt, job_version.doc AS job
    FROM run_live AS live
    JOIN attempt ON attempt.run_id = live.id AND attempt.number = live.attempt
    JOIN job_version ON job_version.job_id = live.job_id AND job_version.version = (live.doc ->> 'job_version')::int
    WHERE live.state = 'running' AND {condition}
    FOR UPDATE OF live
"""
HELD_RUNS = _HELD.format(condition="live.id = ANY($1) ORDER BY live.id")
HELD_BY_WORKERS = _HELD.format(condition="live.worker_id = ANY($1) ORDER BY live.id LIMIT $2")
LIVE_RUN_FOR_CHANGE = "SELECT doc FROM run_live WHERE id = $1 FOR UPDATE"
RUNS_DUE = """
    SELECT doc FROM run_live WHERE state = 'scheduled' AND run_at <= $1 ORDER BY run_at, id LIMIT $2
    FOR UPDATE SKIP LOCKED
"""
KEEP_BOUNDS = "UPDATE run_live SET doc = $2 WHERE id = $1"
HINT = """
    SELECT
        (SELECT count(*) FROM (SELECT FROM run_live WHERE state = 'queued' LIMIT 1000) AS queued) AS queued,
        least((SELECT min(run_at) FROM run_live WHERE state = 'scheduled'), (SELECT min(next_at) FROM job)) AS due_at
"""

PUT_WORKER = """
    INSERT INTO worker (id, node, pid, boot_id, started_at, beat_at, expires_at, slots)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (id) DO UPDATE SET
        node = excluded.node, pid = excluded.pid, boot_id = excluded.boot_id, started_at = excluded.started_at,
        beat_at = excluded.beat_at, expires_at = excluded.expires_at, slots = excluded.slots
"""
WORKERS = "SELECT id, node, pid, boot_id, started_at, beat_at, expires_at, slots FROM worker ORDER BY id"
BEAT = """
    WITH me AS (UPDATE worker SET beat_at = $2, expires_at = $3 WHERE id = $1 RETURNING id)
    SELECT
        EXISTS (SELECT FROM me) AS alive,
        ARRAY(SELECT id FROM run_live WHERE worker_id = $1 AND state = 'running' AND cancel_requested ORDER BY id) AS cancel
"""
WORKERS_LOST = "SELECT id FROM worker WHERE expires_at <= $1 OR id = ANY($2) ORDER BY id FOR UPDATE"
FORGET_WORKERS = """
    DELETE FROM worker
    WHERE id = ANY($1) AND NOT EXISTS (SELECT FROM run_live WHERE worker_id = worker.id AND state = 'running')
"""
LOCK_WORKER = "SELECT id FROM worker WHERE id = $1 FOR UPDATE"

RUN = "SELECT doc FROM run_live WHERE id = $1 UNION ALL SELECT doc FROM run WHERE id = $1"
_LISTED = """
    SELECT id, doc FROM {table}
    WHERE ($1::text[] IS NULL OR state = ANY($1)) AND ($2::text IS NULL OR job_id = $2)
        AND ($3::text IS NULL OR queue = $3) AND ($4::text IS NULL OR id < $4)
    ORDER BY id DESC LIMIT $5
"""
RUNS = f"""
    SELECT doc FROM (({_LISTED.format(table="run_live")}) UNION ALL ({_LISTED.format(table="run")})) AS listed
    ORDER BY id DESC LIMIT $5
"""
EVENTS = "SELECT doc FROM run_event WHERE run_id = $1 AND version > $2 ORDER BY version LIMIT $3"
ATTEMPTS = "SELECT doc FROM attempt WHERE run_id = $1 ORDER BY number"
COUNTS = """
    SELECT state AS name, count(*) AS amount FROM run_live GROUP BY state
    UNION ALL SELECT name, sum(amount)::bigint FROM tally GROUP BY name
    UNION ALL SELECT 'jobs', count(*) FROM job
    UNION ALL SELECT 'workers', count(*) FROM worker
"""

ACCOUNT = "SELECT doc FROM account WHERE id = $1"
ACCOUNT_FOR_CHANGE = "SELECT doc FROM account WHERE id = $1 FOR UPDATE"
ACCOUNT_NAMED = "SELECT doc FROM account WHERE name = $1"
ANY_ACCOUNT = "SELECT EXISTS (SELECT FROM account)"
LOCK_ACCOUNTS = "LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE"
PUT_ACCOUNT = """
    INSERT INTO account (id, name, doc) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc
"""
