-- Runs wait in lanes; a claim writes only who claimed, and when; one row of history holds several events and the attempt
-- that they ended.
CREATE TABLE queue (
    name text COLLATE "C" PRIMARY KEY, mode text NOT NULL, slots int, created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
INSERT INTO queue (name, mode, created_at, updated_at)
SELECT name, 'open', now(), now()
FROM (
    SELECT 'default' AS name UNION SELECT queue FROM run_live UNION SELECT doc ->> 'queue' FROM job
) AS used WHERE name IS NOT NULL;

CREATE TABLE limit_rule (
    name text COLLATE "C" PRIMARY KEY, slots int NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE limit_slot (
    key text COLLATE "C", slot int, run_id text COLLATE "C", PRIMARY KEY (key, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX slot_held ON limit_slot (run_id, key) WHERE run_id IS NOT NULL;

CREATE TABLE lane (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text COLLATE "C" NOT NULL, labels text COLLATE "C" NOT NULL,
    limit_name text COLLATE "C", limit_key text COLLATE "C" NOT NULL, open bool NOT NULL, opened_at timestamptz NOT NULL,
    UNIQUE (queue, labels, limit_key)
) WITH (fillfactor = 50);
CREATE INDEX lane_open ON lane (opened_at, id) WHERE open AND limit_key <> '';
CREATE INDEX lane_plain ON lane (id) WHERE limit_key = '';
CREATE INDEX lane_of_key ON lane (limit_key) WHERE limit_key <> '';
INSERT INTO lane (queue, labels, limit_key, open, opened_at) SELECT DISTINCT queue, '', '', true, now() FROM run_live;

ALTER TABLE worker ADD COLUMN labels text[] NOT NULL DEFAULT '{}';

ALTER TABLE run_live
    ADD COLUMN lane bigint, ADD COLUMN claimed_at timestamptz, ADD COLUMN revision int NOT NULL DEFAULT 1,
    ADD COLUMN slotted bool NOT NULL DEFAULT false;
UPDATE run_live AS live SET
    lane = (SELECT id FROM lane WHERE lane.queue = live.queue),
    claimed_at = (
        SELECT (doc ->> 'started_at')::timestamptz FROM attempt
        WHERE run_id = live.id AND number = live.attempt AND live.state = 'running'
    );
ALTER TABLE run_live ALTER COLUMN lane SET NOT NULL;
DROP INDEX live_queued;
CREATE INDEX live_queued ON run_live (lane, rank_at, id) WHERE state = 'queued';
CREATE INDEX live_blocked ON run_live (id) WHERE state = 'blocked';

ALTER TABLE run_event ADD COLUMN attempt json;
UPDATE run_event AS event SET attempt = attempt.doc
FROM attempt
WHERE attempt.run_id = event.run_id AND attempt.number = (event.doc ->> 'attempt')::int
    AND attempt.doc ->> 'ended' IS NOT NULL
    AND event.doc ->> 'kind' IN ('succeeded', 'failed', 'retried', 'cancelled', 'returned', 'rescued', 'poisoned');
UPDATE run_event SET doc = json_build_array(json_build_array(
    doc -> 'version', doc -> 'at', doc -> 'kind', doc -> 'state', doc -> 'attempt', doc -> 'detail'
));
DROP TABLE attempt;
