-- What workers publish for the watchers of others; nobody misses it after a crash.
CREATE UNLOGGED TABLE bulletin (
    worker_id text COLLATE "C", number bigint, body bytea NOT NULL, PRIMARY KEY (worker_id, number)
);
ALTER TABLE worker ADD COLUMN attends bool NOT NULL DEFAULT false;
