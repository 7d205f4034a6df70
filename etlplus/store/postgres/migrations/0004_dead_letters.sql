-- How long a run may wait, and what becomes of those that failed.
ALTER TABLE run_live ADD COLUMN waits_until timestamptz;
CREATE INDEX live_impatient ON run_live (waits_until, id) WHERE waits_until IS NOT NULL AND state <> 'running';

CREATE TABLE dead_letter (
    run_id text COLLATE "C" PRIMARY KEY, job_id text COLLATE "C" NOT NULL, queue text COLLATE "C" NOT NULL,
    code text NOT NULL, failed_at timestamptz NOT NULL, resolution text, resolved_at timestamptz, reason text,
    replay_id text COLLATE "C"
);
CREATE INDEX letter_open ON dead_letter (run_id) WHERE resolution IS NULL;
INSERT INTO dead_letter (run_id, job_id, queue, code, failed_at)
SELECT id, job_id, queue, coalesce(doc -> 'error' ->> 'code', 'internal'), (doc ->> 'finished_at')::timestamptz
FROM run WHERE state = 'failed';
