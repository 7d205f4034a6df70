"""
Statements about schedules: what is due, the tick ledger, and runs that take turns.

Locks go in one order, so that nobody waits for each other: the rows of jobs first (sorted, or skipping what others have), then
lines of runs, then all else. A schedule's run ends only while its job's row is locked, so a tick that counts the unfinished
runs of a job whose row it has locked neither overlooks nor is overlooked.
"""

from __future__ import annotations

from etlplus.store.postgres.sql.runs import KEPT

# Whoever only shares the row, to make a run by hand, is no reason to skip it.
JOBS_DUE = """
    SELECT id, doc FROM job WHERE next_at <= $1 AND fault IS NULL ORDER BY next_at, id LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
"""
# The end of a run that waited for too long may have paused its job.
STILL_DUE = "SELECT doc FROM job WHERE id = ANY($1) AND next_at <= $2 ORDER BY next_at, id"
SET_ASIDE = """
    UPDATE job SET fault = unread.fault FROM unnest($1::text[], $2::text[]) AS unread (id, fault) WHERE job.id = unread.id
"""
# What else a tick has to know; usually there is no run to move, and one question is cheaper than four.
AROUND_TICK = """
    SELECT
        EXISTS (SELECT FROM run_live WHERE state = 'scheduled' AND run_at <= $1) AS due,
        EXISTS (
            SELECT FROM run_live WHERE waits_until <= $1 AND waits_until IS NOT NULL AND state <> 'running'
        ) AS impatient,
        ARRAY(SELECT name FROM queue WHERE mode = 'draining') AS draining
"""
UNFINISHED = """
    SELECT job_id, amount FROM unnest($1::text[]) AS wanted (job_id) CROSS JOIN LATERAL (
        SELECT count(*) AS amount FROM (
            SELECT FROM run_live WHERE run_live.job_id = wanted.job_id AND of_schedule LIMIT $2
        ) AS counted
    ) AS unfinished
"""
OF_SCHEDULES = f"""
    SELECT {KEPT} FROM run_live WHERE job_id = ANY($1) AND of_schedule AND NOT cancel_requested ORDER BY id FOR UPDATE
"""

# A nominal time that has its run keeps it. A stretch may begin where an earlier one did, when the clock was put back and the
# job saved again; it grows then.
PUT_TICKS = """
    INSERT INTO tick (job_id, nominal_at, outcome, last_at, amount, reason, run_id, decided_at)
    SELECT * FROM unnest(
        $1::text[], $2::timestamptz[], $3::text[], $4::timestamptz[], $5::int[], $6::text[], $7::text[], $8::timestamptz[]
    )
    ON CONFLICT (job_id, nominal_at, outcome) DO UPDATE SET
        last_at = greatest(tick.last_at, excluded.last_at), amount = greatest(tick.amount, excluded.amount)
    WHERE tick.run_id IS NULL
    RETURNING run_id
"""
PUT_TICKS_AND_MOVE_ON = f"""
    WITH moved AS (
        UPDATE job SET next_at = moved.next_at, doc = moved.doc
        FROM unnest($9::text[], $10::timestamptz[], $11::json[]) AS moved (id, next_at, doc) WHERE job.id = moved.id
    ) {PUT_TICKS}
"""
TICKS = """
    SELECT job_id, nominal_at, outcome, last_at, amount AS count, reason, run_id, decided_at FROM tick
    WHERE job_id = $1 AND ($2::timestamptz IS NULL OR (nominal_at, outcome) < ($2, $3::text))
    ORDER BY nominal_at DESC, outcome DESC LIMIT $4
"""
_DECIDED_AT = "SELECT decided_at FROM tick WHERE job_id = {job} ORDER BY nominal_at DESC, outcome DESC LIMIT 1"
DECIDED_AT = _DECIDED_AT.format(job="$1")
NEXT_DUE = "SELECT doc FROM job WHERE next_at IS NOT NULL AND fault IS NULL ORDER BY next_at, id LIMIT $1"
SCHEDULED_JOBS = "SELECT doc FROM job WHERE id = ANY($1) AND doc ->> 'schedule' IS NOT NULL ORDER BY id LIMIT $2"
NOT_DUE = """
    SELECT doc FROM job WHERE (next_at IS NULL OR fault IS NOT NULL) AND doc ->> 'schedule' IS NOT NULL ORDER BY name LIMIT $1
"""
LATELY = """
    SELECT lately.* FROM unnest($1::text[]) AS job (id) CROSS JOIN LATERAL (
        SELECT job_id, nominal_at, outcome, last_at, amount AS count, reason, run_id, decided_at FROM tick
        WHERE job_id = job.id ORDER BY nominal_at DESC, outcome DESC LIMIT $2
    ) AS lately
"""
SURPLUS_AT = "SELECT decided_at FROM tick ORDER BY decided_at DESC OFFSET $1 LIMIT 1"
FORGET_TICKS = """
    WITH old AS MATERIALIZED (
        SELECT job_id, nominal_at, outcome FROM tick WHERE decided_at < $1 ORDER BY decided_at LIMIT $2
    ), gone AS (
        DELETE FROM tick USING old
        WHERE tick.job_id = old.job_id AND tick.nominal_at = old.nominal_at AND tick.outcome = old.outcome
        RETURNING tick.job_id
    )
    SELECT count(*) FROM gone
"""

_LOCK_JOBS = "SELECT id FROM job WHERE id IN (SELECT job_id FROM run_live WHERE {runs}) ORDER BY id FOR NO KEY UPDATE"
LOCK_JOBS_OF_RUNS = _LOCK_JOBS.format(runs="id = ANY($1) AND of_schedule")
LOCK_JOBS_OF_WORKERS = _LOCK_JOBS.format(runs="worker_id = ANY($1) AND state = 'running' AND of_schedule")
LOCK_JOBS_OF_IMPATIENT = f"""
    {
    _LOCK_JOBS.format(
        runs="waits_until <= $1 AND waits_until IS NOT NULL AND state <> 'running' AND of_schedule "
        "ORDER BY waits_until, run_live.id LIMIT $2"
    )
} SKIP LOCKED
"""

# Of each job without a scheduled run in hand or in a queue, the first that waits its turn.
NEXT_IN_TURN = f"""
    SELECT {KEPT} FROM unnest($1::text[]) AS ended (job_id) CROSS JOIN LATERAL (
        SELECT {KEPT} FROM run_live
        WHERE run_live.job_id = ended.job_id AND of_schedule AND state = 'blocked' AND NOT EXISTS (
            SELECT FROM run_live AS other
            WHERE other.job_id = ended.job_id AND other.of_schedule AND other.state <> 'blocked'
        )
        ORDER BY id LIMIT 1 FOR UPDATE
    ) AS waiting
"""
# Of schedules of which a run has ended, the first run that was let go on, if nobody has it in hand yet.
IN_TURN = f"""
    SELECT {KEPT} FROM unnest($1::text[]) AS ended (job_id) CROSS JOIN LATERAL (
        SELECT {KEPT} FROM run_live
        WHERE run_live.job_id = ended.job_id AND of_schedule AND state IN ('queued', 'scheduled')
        ORDER BY id LIMIT 1
    ) AS waiting
"""
JOB_THAT_COUNTS = f"""
    SELECT failures, doc, ({_DECIDED_AT.format(job="job.id")}) AS decided_at FROM job WHERE id = $1 AND (failures > 0 OR $2)
"""
COUNTED = "UPDATE job SET failures = $2 WHERE id = $1"
