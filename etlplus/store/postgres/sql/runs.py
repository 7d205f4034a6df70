"""
Statements that make, change, finish and list runs.
"""

from __future__ import annotations

KEPT = "doc, attempt, worker_id, claimed_at, revision, slotted"
"""What a line of ``run_live`` is read as."""
NO_CLAIM = "0 AS attempt, NULL::text AS worker_id, NULL::timestamptz AS claimed_at, 0 AS revision, false AS slotted"
"""The same, but for the record, of what no worker holds."""

# Whoever wants a unique key waits here for others who want it, in the order in which the keys were sorted. The server has room
# for so many locks, all its sessions together: whoever wants very many keys waits for all who want any, and they for him.
LOCK_UNIQUE_KEYS = """
    SELECT pg_advisory_xact_lock_shared(7310581), pg_advisory_xact_lock(hashtextextended(key, 7310579))
    FROM unnest($1::text[]) AS key
"""
LOCK_ALL_UNIQUE_KEYS = "SELECT pg_advisory_xact_lock(7310581)"
UNFINISHED_HOLDERS = f"""
    SELECT key, {KEPT} FROM unique_key JOIN run_live ON run_live.id = unique_key.run_id
    WHERE key = ANY($1) ORDER BY run_live.id FOR UPDATE OF run_live
"""
FINISHED_HOLDERS = "SELECT key, doc FROM unique_key JOIN run ON run.id = unique_key.run_id WHERE key = ANY($1)"
PUT_UNIQUE_KEYS = """
    INSERT INTO unique_key (key, run_id) SELECT key, run_id FROM unnest($1::text[], $2::text[]) AS new (key, run_id)
    ORDER BY key ON CONFLICT (key) DO UPDATE SET run_id = excluded.run_id
"""

# Lanes without a limit key are never closed and never deleted, so nobody has to wait for anybody who enqueues there, too.
PLAIN_LANES = """
    SELECT id, lane.queue, lane.labels, lane.limit_key
    FROM unnest($1::text[], $2::text[]) AS wanted (queue, labels)
    JOIN lane ON lane.queue = wanted.queue AND lane.labels = wanted.labels AND lane.limit_key = ''
"""
# All who lock several lanes do so in the order of their numbers.
LOCK_PLACES = """
    SELECT lane.id FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (queue, labels, limit_key)
    JOIN lane ON lane.queue = wanted.queue AND lane.labels = wanted.labels AND lane.limit_key = wanted.limit_key
    ORDER BY lane.id FOR UPDATE OF lane
"""
# A lane for a new key counts on the slots that its limit has now; whoever changes the limit waits until he sees the lane, too.
HOLD_LIMITS = "SELECT FROM limit_rule WHERE name = ANY($1) ORDER BY name FOR SHARE"
# A lane that is there is opened, unless it waits for a token; one that is open keeps its place.
PUT_LANES = """
    INSERT INTO lane (queue, labels, limit_name, limit_key, open, opened_at)
    SELECT queue, labels, limit_name, limit_key, true, $5
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS new (queue, labels, limit_name, limit_key)
    ORDER BY queue, labels, limit_key
    ON CONFLICT (queue, labels, limit_key) DO UPDATE SET
        open = lane.ready_at IS NULL, limit_name = excluded.limit_name,
        opened_at = CASE WHEN lane.open THEN lane.opened_at ELSE excluded.opened_at END
    RETURNING id, queue, labels, limit_key
"""
# Only those that are missing: an insert in vain waits for whoever changes the slot that is there, and a claim that has one of
# these waits for our lanes.
PUT_SLOTS = """
    INSERT INTO limit_slot (key, slot)
    SELECT new.key, each.slot FROM unnest($1::text[], $2::text[]) AS new (key, rule)
    JOIN limit_rule ON limit_rule.name = new.rule CROSS JOIN generate_series(1, limit_rule.slots) AS each (slot)
    WHERE NOT EXISTS (SELECT FROM limit_slot WHERE limit_slot.key = new.key AND limit_slot.slot = each.slot)
    ORDER BY new.key, each.slot
    ON CONFLICT DO NOTHING
"""
PUT_RUNS = """
    INSERT INTO run_live (
        id, lane, job_id, state, queue, rank_at, run_at, waits_until, of_schedule, attempt, cancel_requested, doc
    )
    SELECT id, lane, job_id, state, queue, rank_at, run_at, waits_until, of_schedule, 0, false, doc
    FROM unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
        $8::timestamptz[], $9::bool[], $10::json[]
    ) AS new (id, lane, job_id, state, queue, rank_at, run_at, waits_until, of_schedule, doc)
"""
# Only what can be made without waiting for anybody: of jobs that nobody is changing, at the version that they are at (looked at
# once more if it changed until the row was locked), in lanes that are there. Names those that were made.
PUT_PLAIN_RUNS = """
    WITH seen AS MATERIALIZED (
        SELECT DISTINCT job_id, version FROM unnest($2::text[], $3::int[]) AS wish (job_id, version)
    ), still AS MATERIALIZED (
        SELECT job.id, seen.version FROM seen JOIN job ON job.id = seen.job_id
        WHERE job.doc ->> 'version' = seen.version::text ORDER BY job.id FOR KEY SHARE OF job SKIP LOCKED
    )
    INSERT INTO run_live (
        id, lane, job_id, state, queue, rank_at, run_at, waits_until, of_schedule, attempt, cancel_requested, doc
    )
    SELECT new.id, lane.id, job_id, state, new.queue, rank_at, run_at, waits_until, of_schedule, 0, false, doc
    FROM unnest(
        $1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[],
        $9::timestamptz[], $10::bool[], $11::json[]
    ) AS new (id, job_id, version, queue, labels, state, rank_at, run_at, waits_until, of_schedule, doc)
    JOIN still ON still.id = new.job_id AND still.version = new.version
    JOIN queue ON queue.name = new.queue AND queue.mode <> 'draining'
    JOIN lane ON lane.queue = new.queue AND lane.labels = new.labels AND lane.limit_key = ''
    RETURNING id
"""

# What ends: ``gone`` names the lines that did. The line must be as it was when the transition was decided, or nothing happens to
# it.
_GONE = """
    gone AS (
        DELETE FROM run_live AS live
        USING unnest({changes}) AS change (id, attempt, revision, state, version, doc, events, ended, code)
        WHERE live.id = change.id AND live.attempt = change.attempt AND live.revision = change.revision
        RETURNING
            live.id, live.job_id, live.queue, live.slotted, change.state, change.version, change.doc, change.events,
            change.ended, change.code
    ), lettered AS (
        INSERT INTO dead_letter (run_id, job_id, queue, code, failed_at)
        SELECT id, job_id, queue, code, {now} FROM gone WHERE code IS NOT NULL
    ), finished AS (
        INSERT INTO run (id, job_id, state, queue, doc) SELECT id, job_id, state, queue, doc FROM gone
    ), told AS (
        INSERT INTO run_event (run_id, version, doc, attempt) SELECT id, version, events, ended FROM gone
    ), tallied AS (
        INSERT INTO tally (name, shard, amount) SELECT state, {shard}, count(*) FROM gone GROUP BY state ORDER BY state
        ON CONFLICT (name, shard) DO UPDATE SET amount = tally.amount + excluded.amount
    )
"""


def gone(first: int, now: str) -> str:
    """The clauses that end runs, by the parameters from ``first`` on: nine columns of changes and the shard of the tallies."""
    kinds = ("text", "int", "int", "text", "int", "json", "json", "json", "text")
    changes = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(kinds, first))
    return _GONE.format(changes=changes, now=now, shard=f"${first + len(kinds)}")


# Unless all went, those that did are named. Their slots are free; so are named the keys that had any.
FINISH = f"""
    WITH {gone(2, "$1")}, freed AS (
        UPDATE limit_slot SET run_id = NULL FROM gone WHERE gone.slotted AND limit_slot.run_id = gone.id
        RETURNING limit_slot.key
    )
    SELECT
        CASE WHEN count(*) < cardinality($2) THEN coalesce(array_agg(id), '{{}}') END AS gone,
        ARRAY(SELECT DISTINCT key FROM freed) AS freed
    FROM gone
"""
# Only of lines that are locked. Who is not held any more has no worker and no slots.
CHANGE = """
    WITH change AS MATERIALIZED (
        SELECT *
        FROM unnest(
            $1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::int[], $7::bool[],
            $8::int[], $9::json[], $10::json[], $11::json[]
        ) AS c (id, state, rank_at, run_at, waits_until, attempt, cancel_requested, version, doc, events, ended)
    ), told AS (
        INSERT INTO run_event (run_id, version, doc, attempt) SELECT id, version, events, ended FROM change
    )
    UPDATE run_live AS live SET
        state = change.state, rank_at = change.rank_at, run_at = change.run_at,
        waits_until = change.waits_until, attempt = change.attempt,
        cancel_requested = change.cancel_requested, doc = change.doc, revision = live.revision + 1,
        worker_id = CASE WHEN change.state = 'running' THEN live.worker_id END,
        claimed_at = CASE WHEN change.state = 'running' THEN live.claimed_at END,
        slotted = live.slotted AND change.state = 'running'
    FROM change WHERE live.id = change.id
    RETURNING live.lane
"""
ADD_STALE = """
    INSERT INTO tally (name, shard, amount) VALUES ('stale', $1, $2)
    ON CONFLICT (name, shard) DO UPDATE SET amount = tally.amount + excluded.amount
"""

FREE_SLOTS = "UPDATE limit_slot SET run_id = NULL WHERE run_id = ANY($1) RETURNING key"
# A claim that is closing one of these lanes is waited for; the statement after this one sees what it did.
LOCK_LANES = """
    SELECT id FROM lane WHERE limit_key <> '' AND (limit_key = ANY($1) OR id = ANY($2)) ORDER BY id FOR UPDATE
"""
OPEN_LANES = """
    UPDATE lane SET open = true, opened_at = $3
    WHERE limit_key <> '' AND (limit_key = ANY($1) OR id = ANY($2)) AND NOT open AND ready_at IS NULL
"""

MOVE_RUNS = """
    UPDATE run_live SET lane = moved.lane FROM unnest($1::text[], $2::bigint[]) AS moved (id, lane)
    WHERE run_live.id = moved.id
"""
# As if they had not been taken; what is as the claim left it, and nobody carries yet.
UNTAKE = """
    UPDATE run_live AS live SET
        state = 'queued', worker_id = NULL, claimed_at = NULL, attempt = live.attempt - 1, slotted = false
    FROM unnest($1::text[], $2::int[], $3::int[]) AS taken (id, attempt, revision)
    WHERE live.id = taken.id AND live.attempt = taken.attempt AND live.revision = taken.revision AND state = 'running'
    RETURNING live.id
"""
RUNS_ASIDE = f"""
    SELECT {KEPT} FROM run_live
    WHERE state = 'queued' AND lane IN (SELECT id FROM lane WHERE labels = $1) ORDER BY id FOR UPDATE
"""
LIVE_RUN = f"SELECT {KEPT} FROM run_live WHERE id = $1"
LIVE_RUN_FOR_CHANGE = f"{LIVE_RUN} FOR UPDATE"
LIVE_RUNS_TO_CANCEL = f"""
    SELECT {KEPT} FROM run_live WHERE id = ANY($1) AND NOT cancel_requested ORDER BY id FOR UPDATE
"""
_MEANT = """
    ($1::text[] IS NULL OR state = ANY($1)) AND ($2::text IS NULL OR job_id = $2) AND ($3::text IS NULL OR queue = $3)
    AND ($4::text IS NULL OR lane IN (SELECT lane.id FROM lane WHERE limit_key = $4))
"""
_ASKED = "FROM run_live WHERE NOT cancel_requested AND ($5::text IS NULL OR id < $5)"
# Stretch after stretch the lines are walked through in the order of their ids, once: OFFSET keeps the conditions out of it, or
# all that are meant would be found by an index of something else and sorted, for each stretch again.
TO_CANCEL = f"""
    SELECT id FROM (
        SELECT id, state, job_id, queue, lane {_ASKED} AND ($6::text IS NULL OR id < $6) ORDER BY id DESC OFFSET 0
    ) AS walked
    WHERE {_MEANT} ORDER BY id DESC LIMIT $7
"""
UNFINISHED = f"SELECT state, count(*) AS amount {_ASKED} AND {_MEANT} GROUP BY state"
KEEP_DOC = "UPDATE run_live SET doc = $2, revision = revision + 1 WHERE id = $1"
RUNS_DUE = f"""
    SELECT {KEPT} FROM run_live WHERE state = 'scheduled' AND run_at <= $1 ORDER BY run_at, id LIMIT $2
    FOR UPDATE SKIP LOCKED
"""
# Of the runs of schedules, only those whose jobs are locked.
RUNS_IMPATIENT = f"""
    SELECT {KEPT} FROM run_live
    WHERE waits_until <= $1 AND waits_until IS NOT NULL AND state <> 'running' AND (NOT of_schedule OR job_id = ANY($3))
    ORDER BY waits_until, id LIMIT $2 FOR UPDATE SKIP LOCKED
"""

FINISHED_RUN = "SELECT doc FROM run WHERE id = $1"
_LISTED = """
    SELECT id, {columns} FROM {table}
    WHERE ($1::text[] IS NULL OR state = ANY($1)) AND ($2::text IS NULL OR job_id = $2)
        AND ($3::text IS NULL OR queue = $3) AND ($4::text IS NULL OR id < $4)
    ORDER BY id DESC LIMIT $5
"""
RUNS = f"""
    SELECT {KEPT}
    FROM (
        ({_LISTED.format(columns=KEPT, table="run_live")})
        UNION ALL
        (SELECT id, doc, {NO_CLAIM} FROM ({_LISTED.format(columns="doc", table="run")}) AS finished)
    ) AS listed
    ORDER BY id DESC LIMIT $5
"""
EVENTS = "SELECT doc FROM run_event WHERE run_id = $1 AND version > $2 ORDER BY version LIMIT $3"
ATTEMPTS = "SELECT attempt FROM run_event WHERE run_id = $1 AND attempt IS NOT NULL ORDER BY version"
ATTEMPTS_OF = "SELECT attempt FROM run_event WHERE run_id = ANY($1) AND attempt IS NOT NULL"
COUNTS = """
    SELECT 'scheduled' AS name, count(*) AS amount FROM run_live WHERE state = 'scheduled'
    UNION ALL SELECT 'blocked', count(*) FROM run_live WHERE state = 'blocked'
    UNION ALL SELECT 'queued', count(*) FROM run_live WHERE state = 'queued'
    UNION ALL SELECT 'running', count(*) FROM run_live WHERE state = 'running'
    UNION ALL SELECT name, sum(amount)::bigint FROM tally GROUP BY name
    UNION ALL SELECT 'letters', count(*) FROM dead_letter WHERE resolution IS NULL
    UNION ALL SELECT 'jobs', count(*) FROM job
    UNION ALL SELECT 'workers', count(*) FROM worker
"""
