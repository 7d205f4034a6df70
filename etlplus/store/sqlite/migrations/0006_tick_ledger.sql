-- What was decided about every nominal time, and what schedules need to know of their runs.
ALTER TABLE tick RENAME TO old_tick;
CREATE TABLE tick (
    job_id TEXT NOT NULL, nominal_at REAL NOT NULL, outcome TEXT NOT NULL, last_at REAL NOT NULL, amount INTEGER NOT NULL,
    reason TEXT, run_id TEXT, decided_at REAL NOT NULL, PRIMARY KEY (job_id, nominal_at, outcome)
) WITHOUT ROWID;
INSERT INTO tick SELECT job_id, nominal_at, 'fired', nominal_at, 1, NULL, run_id, nominal_at FROM old_tick;

ALTER TABLE run_live ADD COLUMN of_schedule INTEGER NOT NULL DEFAULT 0;
UPDATE run_live SET of_schedule = 1 WHERE id IN (SELECT run_id FROM old_tick);
CREATE INDEX live_of_schedule ON run_live (job_id, id) WHERE of_schedule;
DROP TABLE old_tick;

ALTER TABLE job ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
