-- The whole schema as it is now: what a new database gets at once. An older one gets there by the migrations; a test compares.

-- Definitions.
CREATE TABLE job (
    id text COLLATE "C" PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, next_at timestamptz, doc json NOT NULL,
    failures int NOT NULL DEFAULT 0, fault text
);
CREATE INDEX job_due ON job (next_at) WHERE next_at IS NOT NULL AND fault IS NULL;
CREATE TABLE job_version (job_id text COLLATE "C", version int, doc json NOT NULL, PRIMARY KEY (job_id, version));
CREATE TABLE tick (
    job_id text COLLATE "C", nominal_at timestamptz, outcome text COLLATE "C", last_at timestamptz NOT NULL,
    amount int NOT NULL, reason text, run_id text COLLATE "C", decided_at timestamptz NOT NULL,
    PRIMARY KEY (job_id, nominal_at, outcome)
);
CREATE INDEX tick_decided ON tick (decided_at);
CREATE TABLE account (id text COLLATE "C" PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, doc json NOT NULL);

-- Requests that take effect once.
CREATE TABLE receipt (
    principal text COLLATE "C", key text COLLATE "C", route text NOT NULL, fingerprint text NOT NULL,
    made text[] NOT NULL DEFAULT '{}', status int, headers json, body bytea, done_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL, PRIMARY KEY (principal, key)
);
CREATE INDEX receipt_expired ON receipt (expires_at);

-- Queues, limits and lanes.
CREATE TABLE queue (
    name text COLLATE "C" PRIMARY KEY, mode text NOT NULL, slots int, created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
INSERT INTO queue (name, mode, created_at, updated_at) VALUES ('default', 'open', now(), now());
CREATE TABLE limit_rule (
    name text COLLATE "C" PRIMARY KEY, slots int, rate json, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE limit_slot (
    key text COLLATE "C", slot int, run_id text COLLATE "C", PRIMARY KEY (key, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX slot_held ON limit_slot (run_id, key) WHERE run_id IS NOT NULL;
CREATE TABLE limit_bucket (
    key text COLLATE "C" PRIMARY KEY, limit_name text COLLATE "C" NOT NULL, rate json NOT NULL, credit bigint NOT NULL,
    at timestamptz NOT NULL, full_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE lane (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL, labels text COLLATE "C" NOT NULL,
    limit_name text COLLATE "C", limit_key text COLLATE "C" NOT NULL, open bool NOT NULL, opened_at timestamptz NOT NULL,
    ready_at timestamptz, UNIQUE (queue, labels, limit_key)
) WITH (fillfactor = 50);
CREATE INDEX lane_open ON lane ((labels LIKE '!%'), opened_at, id) WHERE open AND limit_key <> '';
CREATE INDEX lane_ready ON lane ((labels LIKE '!%'), ready_at, id) WHERE ready_at IS NOT NULL;
CREATE INDEX lane_plain ON lane ((labels LIKE '!%'), id) WHERE limit_key = '';
CREATE INDEX lane_of_key ON lane (limit_key) WHERE limit_key <> '';

-- Unfinished runs, and the workers that carry them.
CREATE TABLE run_live (
    id text COLLATE "C" PRIMARY KEY, job_id text COLLATE "C" NOT NULL, state text NOT NULL, queue text NOT NULL,
    rank_at timestamptz NOT NULL, run_at timestamptz NOT NULL, worker_id text, attempt int NOT NULL,
    cancel_requested bool NOT NULL, doc json NOT NULL, lane bigint NOT NULL, claimed_at timestamptz,
    revision int NOT NULL DEFAULT 1, slotted bool NOT NULL DEFAULT false, waits_until timestamptz,
    of_schedule bool NOT NULL DEFAULT false
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX live_queued ON run_live (lane, rank_at, id) WHERE state = 'queued';
CREATE INDEX live_scheduled ON run_live (run_at, id) WHERE state = 'scheduled';
CREATE INDEX live_blocked ON run_live (id) WHERE state = 'blocked';
CREATE INDEX live_held ON run_live (worker_id, id) WHERE state = 'running';
CREATE INDEX live_impatient ON run_live (waits_until, id) WHERE waits_until IS NOT NULL AND state <> 'running';
CREATE INDEX live_of_job ON run_live (job_id);
CREATE INDEX live_of_schedule ON run_live (job_id, id) WHERE of_schedule;
CREATE TABLE worker (
    id text COLLATE "C" PRIMARY KEY, node text NOT NULL, pid int NOT NULL, boot_id text NOT NULL,
    started_at timestamptz NOT NULL, beat_at timestamptz NOT NULL, expires_at timestamptz NOT NULL, slots int NOT NULL,
    labels text[] NOT NULL DEFAULT '{}', attends bool NOT NULL DEFAULT false
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE bulletin (
    worker_id text COLLATE "C", number bigint, body bytea NOT NULL, PRIMARY KEY (worker_id, number)
);
CREATE TABLE unique_key (key text COLLATE "C" PRIMARY KEY, run_id text COLLATE "C" NOT NULL);
CREATE INDEX unique_of_run ON unique_key (run_id);

-- History, a partition for each week.
CREATE TABLE run (
    id text COLLATE "C" PRIMARY KEY, job_id text COLLATE "C" NOT NULL, state text NOT NULL, queue text NOT NULL,
    doc json NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX run_of_job ON run (job_id, id);
CREATE INDEX run_in_state ON run (state, id);
CREATE TABLE run_default PARTITION OF run DEFAULT;
CREATE TABLE run_event (
    run_id text COLLATE "C", version int, doc json NOT NULL, attempt json, PRIMARY KEY (run_id, version)
) PARTITION BY RANGE (run_id);
CREATE TABLE run_event_default PARTITION OF run_event DEFAULT;
CREATE TABLE attempt_log (
    run_id text COLLATE "C", attempt int, number int, at timestamptz NOT NULL, level text NOT NULL, line text NOT NULL,
    PRIMARY KEY (run_id, attempt, number)
) PARTITION BY RANGE (run_id);
CREATE TABLE attempt_log_default PARTITION OF attempt_log DEFAULT;
CREATE TABLE log_state (
    run_id text COLLATE "C", attempt int, lines int NOT NULL, kept_bytes bigint NOT NULL, dropped int NOT NULL,
    PRIMARY KEY (run_id, attempt)
) WITH (fillfactor = 70);
CREATE TABLE dead_letter (
    run_id text COLLATE "C" PRIMARY KEY, job_id text COLLATE "C" NOT NULL, queue text COLLATE "C" NOT NULL,
    code text NOT NULL, failed_at timestamptz NOT NULL, resolution text, resolved_at timestamptz, reason text,
    replay_id text COLLATE "C"
);
CREATE INDEX letter_open ON dead_letter (run_id) WHERE resolution IS NULL;
CREATE TABLE tally (name text, shard int, amount bigint NOT NULL, PRIMARY KEY (name, shard));
