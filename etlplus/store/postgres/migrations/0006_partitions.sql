-- History goes by the week: a whole week is dropped at once, instead of row by row. What was there before, and what has no
-- week of its own, is in the default partitions.
ALTER TABLE run RENAME TO run_default;
ALTER INDEX run_pkey RENAME TO run_default_pkey;
ALTER INDEX run_of_job RENAME TO run_default_job_id_id_idx;
ALTER INDEX run_in_state RENAME TO run_default_state_id_idx;
CREATE TABLE run (
    id text COLLATE "C" PRIMARY KEY, job_id text COLLATE "C" NOT NULL, state text NOT NULL, queue text NOT NULL,
    doc json NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX run_of_job ON run (job_id, id);
CREATE INDEX run_in_state ON run (state, id);
ALTER TABLE run ATTACH PARTITION run_default DEFAULT;

ALTER TABLE run_event RENAME TO run_event_default;
ALTER INDEX run_event_pkey RENAME TO run_event_default_pkey;
CREATE TABLE run_event (
    run_id text COLLATE "C", version int, doc json NOT NULL, attempt json, PRIMARY KEY (run_id, version)
) PARTITION BY RANGE (run_id);
ALTER TABLE run_event ATTACH PARTITION run_event_default DEFAULT;

ALTER TABLE attempt_log RENAME TO attempt_log_default;
ALTER INDEX attempt_log_pkey RENAME TO attempt_log_default_pkey;
CREATE TABLE attempt_log (
    run_id text COLLATE "C", attempt int, number int, at timestamptz NOT NULL, level text NOT NULL, line text NOT NULL,
    PRIMARY KEY (run_id, attempt, number)
) PARTITION BY RANGE (run_id);
ALTER TABLE attempt_log ATTACH PARTITION attempt_log_default DEFAULT;
