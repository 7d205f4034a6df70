"""
Statements about the schema and the database itself.
"""

from __future__ import annotations

LOCK_MIGRATIONS = "SELECT pg_advisory_xact_lock(7_310_579)"
CREATE_SCHEMA_VERSION = "CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY)"
HAS_SCHEMA_VERSION = "SELECT to_regclass($1) IS NOT NULL"
SCHEMA_VERSION = "SELECT coalesce(max(version), 0) FROM schema_version"
SCHEMA_REACHED = "INSERT INTO schema_version VALUES ($1)"
DATABASE_SIZE = "SELECT pg_database_size(current_database())"
PING = "SELECT 1"
TIME = "SELECT clock_timestamp()"

# A slot of a replica has no time to tell; it counts as old as the server, so that it is named when nothing else is.
HORIZON = """
    SELECT
        extract(epoch FROM clock_timestamp() - holder.since)::float8 AS oldest_s, holder.name AS culprit,
        (
            SELECT n_dead_tup::float8 / nullif(n_live_tup + n_dead_tup, 0) FROM pg_stat_user_tables
            WHERE relid = 'run_live'::regclass
        ) AS dead_ratio
    FROM (SELECT) AS always
    LEFT JOIN (
        SELECT xact_start AS since, format('session %s of %s (%s), %s', pid, usename, application_name, state) AS name
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
            AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
        UNION ALL
        SELECT prepared, format('prepared transaction %s of %s', gid, owner) FROM pg_prepared_xacts
        WHERE database = current_database()
        UNION ALL
        SELECT pg_postmaster_start_time(), format('replication slot %s', slot_name) FROM pg_replication_slots
        WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
    ) AS holder ON true
    ORDER BY holder.since NULLS LAST LIMIT 1
"""

# The bells are no part of any unit, and what a crash of the server forgets of them nobody misses.
NOTIFY = """
    SELECT set_config('synchronous_commit', 'off', true), pg_notify(channel, word)
    FROM unnest($1::text[], $2::text[]) AS bell (channel, word)
"""
