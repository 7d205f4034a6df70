-- Limits may have a rate, with or without slots; each key has a bucket of tokens, and lanes may wait for one.
ALTER TABLE limit_rule ALTER COLUMN slots DROP NOT NULL;
ALTER TABLE limit_rule ADD COLUMN rate json;
CREATE TABLE limit_bucket (
    key text COLLATE "C" PRIMARY KEY, limit_name text COLLATE "C" NOT NULL, rate json NOT NULL, credit bigint NOT NULL,
    at timestamptz NOT NULL, full_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE lane ADD COLUMN ready_at timestamptz;
CREATE INDEX lane_ready ON lane (ready_at, id) WHERE ready_at IS NOT NULL;

-- A job that cannot be read is set aside.
ALTER TABLE job ADD COLUMN fault text;
DROP INDEX job_due;
CREATE INDEX job_due ON job (next_at) WHERE next_at IS NOT NULL AND fault IS NULL;
