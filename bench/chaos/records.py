"""
What the database itself notes of runs, by its own clock and within the units that change them: when each was made and ended,
and when each attempt began and ended to be carried.
"""

from __future__ import annotations

WATCH = """
    CREATE TABLE chaos.lived (
        id bigserial, run_id text NOT NULL, key text, delta int NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE TABLE chaos.carried (
        id bigserial, run_id text NOT NULL, attempt int NOT NULL, queue text NOT NULL, lane bigint NOT NULL,
        worker_id text NOT NULL, delta int NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE FUNCTION chaos.watch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO chaos.lived (run_id, key, delta) VALUES (NEW.id, NEW.doc ->> 'unique_key', 1);
            RETURN NULL;
        END IF;
        IF OLD.state = 'running' AND (TG_OP = 'DELETE' OR NEW.state <> 'running') THEN
            INSERT INTO chaos.carried (run_id, attempt, queue, lane, worker_id, delta)
            VALUES (OLD.id, OLD.attempt, OLD.queue, OLD.lane, OLD.worker_id, -1);
        END IF;
        IF TG_OP = 'DELETE' THEN
            INSERT INTO chaos.lived (run_id, key, delta) VALUES (OLD.id, OLD.doc ->> 'unique_key', -1);
        ELSIF NEW.state = 'running' AND OLD.state <> 'running' THEN
            INSERT INTO chaos.carried (run_id, attempt, queue, lane, worker_id, delta)
            VALUES (NEW.id, NEW.attempt, NEW.queue, NEW.lane, NEW.worker_id, 1);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER chaos_watch AFTER INSERT OR UPDATE OR DELETE ON etlplus.run_live
        FOR EACH ROW EXECUTE FUNCTION chaos.watch();
"""

UNFINISHED = "SELECT count(*) FROM etlplus.run_live"
SCHEDULES_LEFT = "SELECT count(*) FROM etlplus.job WHERE next_at IS NOT NULL"
RUNS = "SELECT id, state, doc ->> 'cause' AS cause, doc ->> 'job_name' AS job, doc ->> 'unique_key' AS key FROM etlplus.run"
TWICE = "SELECT run_id FROM chaos.effect GROUP BY run_id HAVING count(*) > 1"
WITHOUT_EFFECT = """
    SELECT id FROM etlplus.run
    WHERE state = 'succeeded' AND doc ->> 'job_name' <> 'command' AND NOT EXISTS (
        SELECT FROM chaos.effect WHERE run_id = run.id
    )
"""
GAPS = """
    SELECT run.id FROM etlplus.run LEFT JOIN LATERAL (
        SELECT count(*) AS amount, max(told.version) AS last, count(DISTINCT told.version) AS versions
        FROM etlplus.run_event AS event
        CROSS JOIN LATERAL (SELECT (each ->> 0)::int AS version FROM json_array_elements(event.doc) AS each) AS told
        WHERE event.run_id = run.id
    ) AS seen ON true
    WHERE seen.amount <> (run.doc ->> 'version')::int OR seen.last <> seen.amount OR seen.versions <> seen.amount
"""
UNLETTERED = """
    SELECT coalesce(run.id, letter.run_id) AS id
    FROM (SELECT id FROM etlplus.run WHERE state = 'failed') AS run
    FULL JOIN etlplus.dead_letter AS letter ON letter.run_id = run.id
    WHERE run.id IS NULL OR letter.run_id IS NULL
"""
MOST_CARRIED = """
    SELECT key, max(held) AS most FROM (
        SELECT key, sum(delta) OVER (PARTITION BY key ORDER BY at, id) AS held
        FROM (
            SELECT {key} AS key, carried.delta, carried.at, carried.id
            FROM chaos.carried AS carried JOIN etlplus.lane ON lane.id = carried.lane
        ) AS keyed
    ) AS counted GROUP BY key
"""
SHARED_KEYS_TWICE = """
    SELECT key FROM (
        SELECT key, sum(delta) OVER (PARTITION BY key ORDER BY at, id) AS held FROM chaos.lived WHERE key IS NOT NULL
    ) AS counted GROUP BY key HAVING max(held) > 1
"""
TOO_EARLY = """
    SELECT tick.run_id FROM etlplus.tick JOIN chaos.lived ON lived.run_id = tick.run_id AND delta = 1
    WHERE lived.at < tick.nominal_at - $1::interval
"""
TICKS = "SELECT nominal_at, last_at, amount, run_id FROM etlplus.tick WHERE job_id = $1 ORDER BY nominal_at"
SESSIONS = """
    SELECT application_name, state, query FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND backend_start < $1
"""
SESSIONS_NOW = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
ATTEMPTS = "SELECT count(*) FROM chaos.carried WHERE delta = 1"
STALE = "SELECT coalesce(sum(amount), 0)::bigint FROM etlplus.tally WHERE name = 'stale'"
TAKEN_BACK = """
    SELECT worker_id, count(*) AS runs, extract(epoch FROM max(at))::float AS at FROM chaos.carried
    WHERE delta = -1 GROUP BY worker_id
"""
RESCUED = """
    SELECT count(*) FROM etlplus.run_event AS event CROSS JOIN LATERAL json_array_elements(event.doc) AS told
    WHERE told ->> 2 IN ('rescued', 'poisoned')
"""
SILENCE = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE (application_name = 'etlplus-listener' OR query ILIKE 'LISTEN%') AND pid <> pg_backend_pid()
"""
