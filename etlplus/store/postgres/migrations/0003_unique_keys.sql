-- Who has a unique key outlives the run's end, so that a key can hold for a while.
CREATE TABLE unique_key (key text COLLATE "C" PRIMARY KEY, run_id text COLLATE "C" NOT NULL);
CREATE INDEX unique_of_run ON unique_key (run_id);
INSERT INTO unique_key SELECT unique_key, id FROM run_live WHERE unique_key IS NOT NULL;
ALTER TABLE run_live DROP COLUMN unique_key;
