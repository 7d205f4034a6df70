-- Who has a unique key outlives the run's end, so that a key can hold for a while.
CREATE TABLE unique_key (key TEXT PRIMARY KEY, run_id TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX unique_of_run ON unique_key (run_id);
INSERT INTO unique_key SELECT unique_key, id FROM run_live WHERE unique_key IS NOT NULL;
DROP INDEX live_unique;
ALTER TABLE run_live DROP COLUMN unique_key;
