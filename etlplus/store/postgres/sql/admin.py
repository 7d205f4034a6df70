"""
Statements about the schema and the database itself.
"""

from __future__ import annotations

LOCK_MIGRATIONS = "SELECT pg_advisory_xact_lock(7_310_579)"
CREATE_SCHEMA_VERSION = "CREATE TABLE IF NOT EXISTS schema_version (version int PRIMARY KEY)"
SCHEMA_VERSION = "SELECT coalesce(max(version), 0) FROM schema_version"
SCHEMA_REACHED = "INSERT INTO schema_version VALUES ($1)"
DATABASE_SIZE = "SELECT pg_database_size(current_database())"
PING = "SELECT 1"
