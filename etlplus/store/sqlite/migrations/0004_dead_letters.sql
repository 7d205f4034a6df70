-- How long a run may wait, and what becomes of those that failed.
ALTER TABLE run_live ADD COLUMN waits_until REAL;
CREATE INDEX live_impatient ON run_live (waits_until, id) WHERE waits_until IS NOT NULL AND state <> 'running';

CREATE TABLE dead_letter (
    run_id TEXT PRIMARY KEY, job_id TEXT NOT NULL, queue TEXT NOT NULL, code TEXT NOT NULL, failed_at REAL NOT NULL,
    resolution TEXT, resolved_at REAL, reason TEXT, replay_id TEXT
) WITHOUT ROWID;
CREATE INDEX letter_open ON dead_letter (run_id) WHERE resolution IS NULL;
INSERT INTO dead_letter (run_id, job_id, queue, code, failed_at)
SELECT
    id, job_id, queue, coalesce(CAST(doc AS TEXT) ->> '$.error.code', 'internal'),
    (julianday(CAST(doc AS TEXT) ->> 'finished_at') - 2440587.5) * 86400.0
FROM run WHERE state = 'failed';
