CREATE TABLE job (
    id text COLLATE "C" PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, next_at timestamptz, doc json NOT NULL
);
CREATE INDEX job_due ON job (next_at) WHERE next_at IS NOT NULL;
CREATE TABLE job_version (job_id text COLLATE "C", version int, doc json NOT NULL, PRIMARY KEY (job_id, version));

CREATE TABLE run_live (
    id text COLLATE "C" PRIMARY KEY, job_id text COLLATE "C" NOT NULL, state text NOT NULL, queue text NOT NULL,
    rank_at timestamptz NOT NULL, run_at timestamptz NOT NULL, worker_id text, attempt int NOT NULL,
    cancel_requested bool NOT NULL, unique_key text UNIQUE, doc json NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX live_queued ON run_live (rank_at, id) WHERE state = 'queued';
CREATE INDEX live_scheduled ON run_live (run_at, id) WHERE state = 'scheduled';
CREATE INDEX live_held ON run_live (worker_id, id) WHERE state = 'running';
CREATE INDEX live_of_job ON run_live (job_id);

CREATE TABLE run (
    id text COLLATE "C" PRIMARY KEY, job_id text COLLATE "C" NOT NULL, state text NOT NULL, queue text NOT NULL,
    doc json NOT NULL
);
CREATE INDEX run_of_job ON run (job_id, id);
CREATE INDEX run_in_state ON run (state, id);
CREATE TABLE attempt (run_id text COLLATE "C", number int, doc json NOT NULL, PRIMARY KEY (run_id, number));
CREATE TABLE run_event (run_id text COLLATE "C", version int, doc json NOT NULL, PRIMARY KEY (run_id, version));

CREATE TABLE worker (
    id text COLLATE "C" PRIMARY KEY, node text NOT NULL, pid int NOT NULL, boot_id text NOT NULL,
    started_at timestamptz NOT NULL, beat_at timestamptz NOT NULL, expires_at timestamptz NOT NULL, slots int NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE tick (
    job_id text COLLATE "C", nominal_at timestamptz, run_id text NOT NULL, PRIMARY KEY (job_id, nominal_at)
);
CREATE TABLE account (id text COLLATE "C" PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, doc json NOT NULL);
CREATE TABLE tally (name text, shard int, amount bigint NOT NULL, PRIMARY KEY (name, shard));
