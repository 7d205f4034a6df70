-- What was decided about every nominal time, and what schedules need to know of their runs.
ALTER TABLE run_live ADD COLUMN of_schedule bool NOT NULL DEFAULT false;
UPDATE run_live SET of_schedule = true WHERE id IN (SELECT run_id FROM tick);
CREATE INDEX live_of_schedule ON run_live (job_id, id) WHERE of_schedule;

ALTER TABLE tick RENAME TO old_tick;
ALTER INDEX tick_pkey RENAME TO old_tick_pkey;
CREATE TABLE tick (
    job_id text COLLATE "C", nominal_at timestamptz, outcome text COLLATE "C", last_at timestamptz NOT NULL,
    amount int NOT NULL, reason text, run_id text COLLATE "C", decided_at timestamptz NOT NULL,
    PRIMARY KEY (job_id, nominal_at, outcome)
);
INSERT INTO tick (job_id, nominal_at, outcome, last_at, amount, run_id, decided_at)
SELECT job_id, nominal_at, 'fired', nominal_at, 1, run_id, nominal_at FROM old_tick;
DROP TABLE old_tick;

ALTER TABLE job ADD COLUMN failures int NOT NULL DEFAULT 0;
