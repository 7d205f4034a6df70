"""
Statements that make and drop the weeks of the history. The names and bounds of partitions are made here from digits only.
"""

from __future__ import annotations

HISTORY = {"run": "id", "run_event": "run_id", "attempt_log": "run_id"}
"""The tables that go by the week, and the column that says which."""

# Another node that tidies at the same time does it for us.
ONE_AT_A_TIME = "SELECT pg_try_advisory_xact_lock(7_310_580)"
# Whoever reads for long is not to be queued behind us, and all others behind him: we rather come back later.
WAIT_BRIEFLY = "SET LOCAL lock_timeout = '1s'"
# Whoever writes or reads history waits, and then finds the partitions as they are after us. Without it a row could come into a
# default partition after we have moved what is there; and a query that is being planned, which knows its partitions and waits
# for the default one, would look for a row there that has moved into a partition that it does not know.
HOLD_HISTORY = "LOCK TABLE run, run_event, attempt_log IN ACCESS EXCLUSIVE MODE"
WEEKS = """
    SELECT c.relname AS name FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid
    WHERE inhparent = 'run'::regclass AND c.relname <> 'run_default' ORDER BY c.relname
"""
SIZE = """
    SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits
    WHERE inhparent IN ('run'::regclass, 'run_event'::regclass, 'attempt_log'::regclass)
"""
WEEK_IS_NEEDED = """
    SELECT EXISTS (SELECT FROM run_live WHERE id >= $1 AND id < $2)
        OR EXISTS (SELECT FROM dead_letter WHERE run_id >= $1 AND run_id < $2 AND resolution IS NULL)
"""
FORGET_WEEK = tuple(
    f"DELETE FROM {table} WHERE run_id >= $1 AND run_id < $2" for table in ("dead_letter", "unique_key", "log_state")
)
TOO_OLD = """
    SELECT id FROM run_default
    WHERE id < $1 AND NOT EXISTS (SELECT FROM dead_letter WHERE run_id = run_default.id AND resolution IS NULL)
    ORDER BY id LIMIT $2
"""
FORGET_RUNS = tuple(
    f"DELETE FROM {table} WHERE run_id = ANY($1)"
    for table in ("run_event", "attempt_log", "log_state", "dead_letter", "unique_key")
)
UNCOUNT = """
    INSERT INTO tally (name, shard, amount) SELECT state, $2, -count(*) FROM run WHERE id = ANY($1) GROUP BY state
    ON CONFLICT (name, shard) DO UPDATE SET amount = tally.amount + excluded.amount
"""
DELETE_RUNS = "DELETE FROM run WHERE id = ANY($1)"

# A run that waits was made of the version that was present then; new ones are made of the present one.
FORGET_VERSIONS = """
    WITH old AS MATERIALIZED (
        SELECT job_id, version FROM job_version AS former
        WHERE NOT EXISTS (SELECT FROM run_live WHERE job_id = former.job_id) AND (
            EXISTS (SELECT FROM job_version WHERE job_id = former.job_id AND version > former.version)
            OR NOT EXISTS (SELECT FROM job WHERE id = former.job_id)
        )
        LIMIT $1
    ), gone AS (
        DELETE FROM job_version USING old
        WHERE job_version.job_id = old.job_id AND job_version.version = old.version
        RETURNING job_version.version
    )
    SELECT count(*) FROM gone
"""

# Nobody may make a lane for a key, and count on its slots, while we decide that nobody needs it.
HOLD_LANES = "LOCK TABLE lane IN SHARE ROW EXCLUSIVE MODE"
FORGET_LANES = """
    DELETE FROM lane
    WHERE limit_key <> '' AND NOT open AND opened_at < $1 AND NOT EXISTS (SELECT FROM run_live WHERE lane = lane.id)
    RETURNING limit_key
"""
# A bucket that has long been full says no more than the one that is made when somebody comes.
FORGET_BUCKETS = """
    DELETE FROM limit_bucket
    WHERE key IN (SELECT key FROM limit_bucket WHERE full_at < $1 ORDER BY key FOR UPDATE SKIP LOCKED)
"""
FORGET_SLOTS = """
    DELETE FROM limit_slot WHERE key = ANY($1) AND NOT EXISTS (SELECT FROM lane WHERE limit_key = limit_slot.key)
"""


def make_week(table: str, week: str, first: str, after: str) -> tuple[str, ...]:
    """Make a partition, and move what is of that week into it, before it is attached."""
    column, name = HISTORY[table], f"{table}_{week}"
    return (
        f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)",
        f"""
            WITH moved AS (DELETE FROM {table}_default WHERE {column} >= '{first}' AND {column} < '{after}' RETURNING *)
            INSERT INTO {name} SELECT * FROM moved
        """,
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{after}')",
    )


def uncount_week(week: str) -> str:
    """Take the runs of a week out of the tallies; returns how many there were."""
    return f"""
        WITH gone AS (SELECT state, count(*) AS amount FROM run_{week} GROUP BY state), tallied AS (
            INSERT INTO tally (name, shard, amount) SELECT state, $1, -amount FROM gone ORDER BY state
            ON CONFLICT (name, shard) DO UPDATE SET amount = tally.amount + excluded.amount
        )
        SELECT coalesce(sum(amount), 0)::bigint FROM gone
    """


def drop_week(week: str) -> tuple[str, ...]:
    """Drop the partitions of a week."""
    return tuple(f"DROP TABLE {table}_{week}" for table in HISTORY)
