-- Limits may have a rate, with or without slots; each key has a bucket of tokens, and lanes may wait for one.
ALTER TABLE limit_rule RENAME TO old_limit_rule;
CREATE TABLE limit_rule (name TEXT PRIMARY KEY, slots INTEGER, rate BLOB, created_at REAL NOT NULL,
    updated_at REAL NOT NULL) WITHOUT ROWID;
INSERT INTO limit_rule (name, slots, created_at, updated_at) SELECT name, slots, created_at, updated_at FROM old_limit_rule;
DROP TABLE old_limit_rule;
CREATE TABLE limit_bucket (key TEXT PRIMARY KEY, limit_name TEXT NOT NULL, rate BLOB NOT NULL, credit INTEGER NOT NULL,
    at REAL NOT NULL, full_at REAL NOT NULL) WITHOUT ROWID;
ALTER TABLE lane ADD COLUMN ready_at REAL;
CREATE INDEX lane_ready ON lane (ready_at, id) WHERE ready_at IS NOT NULL;

-- A job that cannot be read is set aside.
ALTER TABLE job ADD COLUMN fault TEXT;
DROP INDEX job_due;
CREATE INDEX job_due ON job (next_at) WHERE next_at IS NOT NULL AND fault IS NULL;
