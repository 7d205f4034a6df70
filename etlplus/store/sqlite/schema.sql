-- The whole schema as it is now: what a new file gets at once. An older one gets there by the migrations; a test compares.

-- Definitions.
CREATE TABLE job (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, next_at REAL, doc BLOB NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0, fault TEXT) WITHOUT ROWID;
CREATE INDEX job_due ON job (next_at) WHERE next_at IS NOT NULL AND fault IS NULL;
CREATE TABLE job_version (
    job_id TEXT NOT NULL, version INTEGER NOT NULL, doc BLOB NOT NULL, PRIMARY KEY (job_id, version)
) WITHOUT ROWID;
CREATE TABLE tick (
    job_id TEXT NOT NULL, nominal_at REAL NOT NULL, outcome TEXT NOT NULL, last_at REAL NOT NULL, amount INTEGER NOT NULL,
    reason TEXT, run_id TEXT, decided_at REAL NOT NULL, PRIMARY KEY (job_id, nominal_at, outcome)
) WITHOUT ROWID;
CREATE INDEX tick_decided ON tick (decided_at);
CREATE TABLE user (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, doc BLOB NOT NULL) WITHOUT ROWID;

-- Requests that take effect once.
CREATE TABLE receipt (
    principal TEXT NOT NULL, key TEXT NOT NULL, route TEXT NOT NULL, fingerprint TEXT NOT NULL,
    made BLOB NOT NULL DEFAULT '[]', status INTEGER, headers BLOB, body BLOB, done_at REAL NOT NULL,
    expires_at REAL NOT NULL, PRIMARY KEY (principal, key)
) WITHOUT ROWID;
CREATE INDEX receipt_expired ON receipt (expires_at);

-- Queues, limits and lanes.
CREATE TABLE queue (name TEXT PRIMARY KEY, mode TEXT NOT NULL, slots INTEGER, created_at REAL NOT NULL,
    updated_at REAL NOT NULL) WITHOUT ROWID;
INSERT INTO queue (name, mode, created_at, updated_at) VALUES ('default', 'open', unixepoch(), unixepoch());
CREATE TABLE limit_rule (name TEXT PRIMARY KEY, slots INTEGER, rate BLOB, created_at REAL NOT NULL,
    updated_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE limit_slot (key TEXT NOT NULL, slot INTEGER NOT NULL, run_id TEXT, PRIMARY KEY (key, slot)) WITHOUT ROWID;
CREATE UNIQUE INDEX slot_held ON limit_slot (run_id, key) WHERE run_id IS NOT NULL;
CREATE INDEX slot_free ON limit_slot (key, slot) WHERE run_id IS NULL;
CREATE TABLE limit_bucket (key TEXT PRIMARY KEY, limit_name TEXT NOT NULL, rate BLOB NOT NULL, credit INTEGER NOT NULL,
    at REAL NOT NULL, full_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE lane (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, labels TEXT NOT NULL, limit_name TEXT,
    limit_key TEXT NOT NULL, open INTEGER NOT NULL, opened_at REAL NOT NULL, ready_at REAL,
    UNIQUE (queue, labels, limit_key));
CREATE INDEX lane_open ON lane ((labels LIKE '!%'), opened_at, id) WHERE open AND limit_key <> '';
CREATE INDEX lane_ready ON lane ((labels LIKE '!%'), ready_at, id) WHERE ready_at IS NOT NULL;
CREATE INDEX lane_plain ON lane ((labels LIKE '!%'), id) WHERE limit_key = '';
CREATE INDEX lane_of_key ON lane (limit_key) WHERE limit_key <> '';

-- Unfinished runs, and the workers that carry them.
CREATE TABLE run_live (
    id TEXT PRIMARY KEY, lane INTEGER NOT NULL, job_id TEXT NOT NULL, state TEXT NOT NULL, queue TEXT NOT NULL,
    rank_at REAL NOT NULL, run_at REAL NOT NULL, worker_id TEXT, attempt INTEGER NOT NULL, claimed_at REAL,
    revision INTEGER NOT NULL DEFAULT 1, slotted INTEGER NOT NULL DEFAULT 0, cancel_requested INTEGER NOT NULL DEFAULT 0,
    doc BLOB NOT NULL, waits_until REAL, of_schedule INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX live_queued ON run_live (lane, rank_at, id) WHERE state = 'queued';
CREATE INDEX live_scheduled ON run_live (run_at, id) WHERE state = 'scheduled';
CREATE INDEX live_blocked ON run_live (id) WHERE state = 'blocked';
CREATE INDEX live_held ON run_live (worker_id, id) WHERE state = 'running';
CREATE INDEX live_impatient ON run_live (waits_until, id) WHERE waits_until IS NOT NULL AND state <> 'running';
CREATE INDEX live_of_job ON run_live (job_id);
CREATE INDEX live_of_schedule ON run_live (job_id, id) WHERE of_schedule;
CREATE TABLE worker (id TEXT PRIMARY KEY, expires_at REAL NOT NULL, doc BLOB NOT NULL, labels TEXT NOT NULL DEFAULT '')
    WITHOUT ROWID;
CREATE TABLE unique_key (key TEXT PRIMARY KEY, run_id TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX unique_of_run ON unique_key (run_id);

-- History.
CREATE TABLE run (id TEXT PRIMARY KEY, job_id TEXT NOT NULL, state TEXT NOT NULL, queue TEXT NOT NULL,
    doc BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX run_of_job ON run (job_id, id);
CREATE INDEX run_in_state ON run (state, id);
CREATE TABLE run_event (run_id TEXT NOT NULL, version INTEGER NOT NULL, doc BLOB NOT NULL, attempt BLOB,
    PRIMARY KEY (run_id, version)) WITHOUT ROWID;
CREATE TABLE attempt_log (
    run_id TEXT NOT NULL, attempt INTEGER NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, level TEXT NOT NULL,
    line TEXT NOT NULL, PRIMARY KEY (run_id, attempt, number)
) WITHOUT ROWID;
CREATE TABLE log_state (
    run_id TEXT NOT NULL, attempt INTEGER NOT NULL, lines INTEGER NOT NULL, kept_bytes INTEGER NOT NULL,
    dropped INTEGER NOT NULL, PRIMARY KEY (run_id, attempt)
) WITHOUT ROWID;
CREATE TABLE dead_letter (
    run_id TEXT PRIMARY KEY, job_id TEXT NOT NULL, queue TEXT NOT NULL, code TEXT NOT NULL, failed_at REAL NOT NULL,
    resolution TEXT, resolved_at REAL, reason TEXT, replay_id TEXT
) WITHOUT ROWID;
CREATE INDEX letter_open ON dead_letter (run_id) WHERE resolution IS NULL;
CREATE TABLE run_count (state TEXT PRIMARY KEY, amount INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, amount INTEGER NOT NULL) WITHOUT ROWID;
