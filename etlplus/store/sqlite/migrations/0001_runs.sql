CREATE TABLE job (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, next_at REAL, doc BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX job_due ON job (next_at) WHERE next_at IS NOT NULL;
CREATE TABLE job_version (
    job_id TEXT NOT NULL, version INTEGER NOT NULL, doc BLOB NOT NULL, PRIMARY KEY (job_id, version)
) WITHOUT ROWID;
CREATE TABLE run (id TEXT PRIMARY KEY, job_id TEXT NOT NULL, state TEXT NOT NULL, queue TEXT NOT NULL,
    doc BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX run_of_job ON run (job_id, id);
CREATE INDEX run_in_state ON run (state, id);
CREATE TABLE run_live (
    id TEXT PRIMARY KEY, job_id TEXT NOT NULL, state TEXT NOT NULL, rank_at REAL NOT NULL, run_at REAL NOT NULL,
    worker_id TEXT, attempt INTEGER NOT NULL, cancel_requested INTEGER NOT NULL, unique_key TEXT UNIQUE
) WITHOUT ROWID;
CREATE INDEX live_queued ON run_live (rank_at, id) WHERE state = 'queued';
CREATE INDEX live_scheduled ON run_live (run_at, id) WHERE state = 'scheduled';
CREATE INDEX live_held ON run_live (worker_id, id) WHERE state = 'running';
CREATE TABLE attempt (run_id TEXT NOT NULL, number INTEGER NOT NULL, doc BLOB NOT NULL, PRIMARY KEY (run_id, number))
    WITHOUT ROWID;
CREATE TABLE run_event (run_id TEXT NOT NULL, version INTEGER NOT NULL, doc BLOB NOT NULL,
    PRIMARY KEY (run_id, version)) WITHOUT ROWID;
CREATE TABLE run_count (state TEXT PRIMARY KEY, amount INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE worker (id TEXT PRIMARY KEY, expires_at REAL NOT NULL, doc BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE tick (job_id TEXT NOT NULL, nominal_at REAL NOT NULL, run_id TEXT NOT NULL,
    PRIMARY KEY (job_id, nominal_at)) WITHOUT ROWID;
CREATE TABLE user (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, doc BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, amount INTEGER NOT NULL) WITHOUT ROWID;
