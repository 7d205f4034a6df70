"""
Statements about jobs and their schedules.
"""

from __future__ import annotations

JOB = "SELECT doc FROM job WHERE id = $1"
JOB_FOR_CHANGE = "SELECT doc FROM job WHERE id = $1 FOR UPDATE"
JOB_NAMED = "SELECT doc FROM job WHERE name = $1"
JOBS = "SELECT doc FROM job WHERE name > $1 ORDER BY name LIMIT $2"
JOB_VERSIONS = """
    SELECT job_version.job_id, job_version.version, doc FROM unnest($1::text[], $2::int[]) AS wanted (job_id, version)
    JOIN job_version ON job_version.job_id = wanted.job_id AND job_version.version = wanted.version
"""
# Whether the scheduled runs of a version fail is counted from its saving on.
PUT_JOB = """
    INSERT INTO job (id, name, next_at, doc) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, next_at = excluded.next_at, doc = excluded.doc, failures = 0,
        fault = NULL
"""
# Another program may be able to read what the last one could not.
TRY_AGAIN = "UPDATE job SET fault = NULL WHERE fault IS NOT NULL"
PUT_JOB_VERSION = "INSERT INTO job_version (job_id, version, doc) VALUES ($1, $2, $3)"
JOB_IS_USED = "SELECT EXISTS (SELECT FROM run_live WHERE job_id = $1)"
DELETE_JOB = "DELETE FROM job WHERE id = $1"
# The share lock keeps the job from being deleted before its new runs are there to be seen.
JOBS_FOR_RUNS = "SELECT doc FROM job WHERE id = ANY($1) ORDER BY id FOR KEY SHARE"
