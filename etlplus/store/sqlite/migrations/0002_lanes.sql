-- Runs wait in lanes; a claim writes only who claimed, and when; one row of history holds several events and the attempt
-- that they ended. Records of unfinished runs stand in run_live, those of finished ones in run.
CREATE TABLE queue (name TEXT PRIMARY KEY, mode TEXT NOT NULL, slots INTEGER, created_at REAL NOT NULL,
    updated_at REAL NOT NULL) WITHOUT ROWID;
INSERT INTO queue (name, mode, created_at, updated_at)
SELECT name, 'open', unixepoch(), unixepoch()
FROM (
    SELECT 'default' AS name
    UNION SELECT run.queue FROM run JOIN run_live USING (id)
    UNION SELECT CAST(doc AS TEXT) ->> 'queue' FROM job
) WHERE name IS NOT NULL;

CREATE TABLE limit_rule (name TEXT PRIMARY KEY, slots INTEGER NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL)
    WITHOUT ROWID;
CREATE TABLE limit_slot (key TEXT NOT NULL, slot INTEGER NOT NULL, run_id TEXT, PRIMARY KEY (key, slot)) WITHOUT ROWID;
CREATE UNIQUE INDEX slot_held ON limit_slot (run_id, key) WHERE run_id IS NOT NULL;
CREATE INDEX slot_free ON limit_slot (key, slot) WHERE run_id IS NULL;

CREATE TABLE lane (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, labels TEXT NOT NULL, limit_name TEXT,
    limit_key TEXT NOT NULL, open INTEGER NOT NULL, opened_at REAL NOT NULL, UNIQUE (queue, labels, limit_key));
CREATE INDEX lane_open ON lane (opened_at, id) WHERE open AND limit_key <> '';
CREATE INDEX lane_plain ON lane (id) WHERE limit_key = '';
CREATE INDEX lane_of_key ON lane (limit_key) WHERE limit_key <> '';
INSERT INTO lane (queue, labels, limit_key, open, opened_at)
SELECT DISTINCT run.queue, '', '', true, unixepoch() FROM run JOIN run_live USING (id);

ALTER TABLE run_live RENAME TO old_live;
CREATE TABLE run_live (
    id TEXT PRIMARY KEY, lane INTEGER NOT NULL, job_id TEXT NOT NULL, state TEXT NOT NULL, queue TEXT NOT NULL,
    rank_at REAL NOT NULL, run_at REAL NOT NULL, worker_id TEXT, attempt INTEGER NOT NULL, claimed_at REAL,
    revision INTEGER NOT NULL DEFAULT 1, slotted INTEGER NOT NULL DEFAULT 0, cancel_requested INTEGER NOT NULL DEFAULT 0,
    unique_key TEXT, doc BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO run_live
SELECT
    old.id, lane.id, old.job_id, old.state, run.queue, old.rank_at, old.run_at, old.worker_id, old.attempt,
    iif(old.state = 'running', (julianday(CAST(attempt.doc AS TEXT) ->> 'started_at') - 2440587.5) * 86400.0, NULL),
    1, 0, old.cancel_requested, old.unique_key, run.doc
FROM old_live AS old
JOIN run USING (id)
JOIN lane ON lane.queue = run.queue
LEFT JOIN attempt ON attempt.run_id = old.id AND attempt.number = old.attempt;
DELETE FROM run WHERE id IN (SELECT id FROM old_live);
DROP TABLE old_live;
CREATE UNIQUE INDEX live_unique ON run_live (unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX live_queued ON run_live (lane, rank_at, id) WHERE state = 'queued';
CREATE INDEX live_scheduled ON run_live (run_at, id) WHERE state = 'scheduled';
CREATE INDEX live_held ON run_live (worker_id, id) WHERE state = 'running';
CREATE INDEX live_blocked ON run_live (id) WHERE state = 'blocked';
CREATE INDEX live_of_job ON run_live (job_id);
DELETE FROM run_count WHERE state IN ('scheduled', 'blocked', 'queued', 'running');

ALTER TABLE worker ADD COLUMN labels TEXT NOT NULL DEFAULT '';

ALTER TABLE run_event ADD COLUMN attempt BLOB;
UPDATE run_event SET attempt = (
    SELECT attempt.doc FROM attempt
    WHERE attempt.run_id = run_event.run_id AND attempt.number = CAST(run_event.doc AS TEXT) ->> 'attempt'
        AND CAST(attempt.doc AS TEXT) ->> 'ended' IS NOT NULL
)
WHERE CAST(doc AS TEXT) ->> 'kind'
    IN ('succeeded', 'failed', 'retried', 'cancelled', 'returned', 'rescued', 'poisoned');
UPDATE run_event SET doc = CAST(json_array(json_array(
    json_extract(CAST(doc AS TEXT), '$.version'), json_extract(CAST(doc AS TEXT), '$.at'),
    json_extract(CAST(doc AS TEXT), '$.kind'), json_extract(CAST(doc AS TEXT), '$.state'),
    json_extract(CAST(doc AS TEXT), '$.attempt'), json(json_extract(CAST(doc AS TEXT), '$.detail'))
)) AS BLOB);
DROP TABLE attempt;
