"""
Statements of workers: joining, beating, claiming, and what is held.
"""

from __future__ import annotations

from etlplus.jobs.queues import HOUSE, queue_key
from etlplus.store.postgres.sql.runs import KEPT, NO_CLAIM, gone

PUT_WORKER = """
    INSERT INTO worker (id, node, pid, boot_id, started_at, beat_at, expires_at, slots, labels)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (id) DO UPDATE SET
        node = excluded.node, pid = excluded.pid, boot_id = excluded.boot_id, started_at = excluded.started_at,
        beat_at = excluded.beat_at, expires_at = excluded.expires_at, slots = excluded.slots, labels = excluded.labels
"""
WORKERS = "SELECT id, node, pid, boot_id, started_at, beat_at, expires_at, slots, labels FROM worker ORDER BY id"
BEAT = """
    WITH me AS (UPDATE worker SET beat_at = $2, expires_at = $3, attends = $4 WHERE id = $1 RETURNING id)
    SELECT
        EXISTS (SELECT FROM worker WHERE attends AND id <> $1 AND expires_at > $2) AS audience,
        EXISTS (SELECT FROM worker WHERE id <> $1 AND expires_at > $2) AS company,
        EXISTS (SELECT FROM me) AS alive,
        ARRAY(SELECT id FROM run_live WHERE worker_id = $1 AND state = 'running' AND cancel_requested ORDER BY id) AS cancel
"""
# Those that are known to be dead, if any are named, or else those whose lease is over; also by our clock as it is now, which may
# have been put back since the caller last asked for the time.
WORKERS_LOST = """
    SELECT id FROM worker WHERE CASE WHEN $2::text[] = '{}' THEN expires_at <= least($1, clock_timestamp()) ELSE id = ANY($2) END
    ORDER BY id FOR UPDATE
"""
FORGET_WORKERS = """
    DELETE FROM worker
    WHERE id = ANY($1) AND NOT EXISTS (SELECT FROM run_live WHERE worker_id = worker.id AND state = 'running')
"""
HALVED_FROM = 32
"""Of so many slots or more one call takes or passes half, so that some can be carried while others are written."""

LOCK_WORKER = "SELECT id FROM worker WHERE id = $1 FOR UPDATE"

# The lanes that the worker may take from, without locks: of those that count against no key the ones that have a run, and their
# first, found from their marks on; of those with a key the ones that were opened first, and the ones whose token came first. One
# row with a zero for a lane if there is none, and no row at all if the worker holds no lease. ``keyed``: there are lanes with a
# key, which may wait for a slot.
LANES = """
    SELECT
        coalesce(lane.id, 0) AS id, coalesce(lane.queue, '') AS queue, coalesce(lane.limit_key, '') AS limit_key,
        lane.queue_slots, lane.head_at, lane.head_id,
        limit_rule.slots AS key_slots, limit_rule.rate IS NOT NULL AS key_paced,
        house.slots AS house_slots, house.rate IS NOT NULL AS house_paced,
        (SELECT min(ready_at) FROM lane WHERE ready_at > $2 AND (labels LIKE '!%') = $4) AS next_at,
        EXISTS (SELECT FROM lane WHERE limit_key <> '') AS keyed
    FROM worker AS me
    LEFT JOIN limit_rule AS house ON house.name = '*'
    LEFT JOIN LATERAL (
        (
            SELECT
                lane.id, lane.queue, lane.limit_name, lane.limit_key, queue.slots AS queue_slots,
                head.rank_at AS head_at, head.id AS head_id
            FROM lane JOIN queue ON queue.name = lane.queue
            LEFT JOIN unnest($5::bigint[], $6::timestamptz[], $7::text[]) AS mark (lane, rank_at, id) ON mark.lane = lane.id
            CROSS JOIN LATERAL (
                SELECT rank_at, run_live.id FROM run_live
                WHERE state = 'queued' AND run_live.lane = lane.id
                    AND (rank_at, run_live.id) >= (coalesce(mark.rank_at, '-infinity'), coalesce(mark.id, ''))
                ORDER BY rank_at, run_live.id LIMIT 1
            ) AS head
            WHERE lane.limit_key = '' AND queue.mode <> 'paused' AND string_to_array(lane.labels, ',') <@ me.labels
                AND (lane.labels LIKE '!%') = $4
            ORDER BY lane.id
        ) UNION ALL (
            SELECT lane.id, lane.queue, lane.limit_name, lane.limit_key, queue.slots, NULL, NULL
            FROM lane JOIN queue ON queue.name = lane.queue
            WHERE lane.limit_key <> '' AND lane.open AND queue.mode <> 'paused'
                AND string_to_array(lane.labels, ',') <@ me.labels AND (lane.labels LIKE '!%') = $4
            ORDER BY lane.opened_at, lane.id LIMIT $3
        ) UNION ALL (
            SELECT lane.id, lane.queue, lane.limit_name, lane.limit_key, queue.slots, NULL, NULL
            FROM lane JOIN queue ON queue.name = lane.queue
            WHERE lane.ready_at <= $2 AND NOT lane.open AND queue.mode <> 'paused'
                AND string_to_array(lane.labels, ',') <@ me.labels AND (lane.labels LIKE '!%') = $4
            ORDER BY lane.ready_at, lane.id LIMIT $3
        )
    ) AS lane ON true
    LEFT JOIN limit_rule ON limit_rule.name = lane.limit_name
    WHERE me.id = $1 AND me.expires_at > $2
"""
# What counts for the runs of ``one`` lane without a key: the slots of the house and of its queue, and how many are held above.
_CAP = f"""
        SELECT each.key, each.slots, (
            SELECT count(run_id) FROM limit_slot WHERE limit_slot.key = each.key AND slot > each.slots
        ) AS excess
        FROM one CROSS JOIN LATERAL (
            VALUES ('{HOUSE}', house_slots), ('{queue_key("")}' || queue, queue_slots)
        ) AS each (key, slots)
        WHERE each.slots IS NOT NULL
    """
# A look at the lanes; and if there is only one, without a key or a rate, its runs are taken at once. If they count against the
# house or the queue, no more slots are locked than there are runs to give them to. Counting who holds a slot, instead of asking
# who holds one, keeps the planner from the index of all that are held.
#
# The first line answers for all: the ``lanes``; under limits, the ``bound`` of what is taken at once, how many runs were
# ``wanted``, for how many the slots that could be ``locked`` were enough, and if that is fewer, how many seemed ``free``. The
# others are the runs that were taken.
#
# The worker's row is locked against the rescue, which deletes it, and not against its own beat; and only if something is taken.
# What is picked is materialized so that the planner can neither pick twice nor lock more than it should.
LOOK_AND_TAKE = f"""
    WITH lanes AS MATERIALIZED ({LANES}), one AS MATERIALIZED (
        SELECT * FROM lanes WHERE id > 0 AND limit_key = '' AND NOT house_paced AND (SELECT count(*) FROM lanes) = 1
    ), me AS MATERIALIZED (
        SELECT id FROM worker WHERE id = $1 AND expires_at > $2 FOR KEY SHARE
    ), cap AS MATERIALIZED ({_CAP}), bound AS MATERIALIZED (
        SELECT least($8, CASE WHEN min(slots) < {HALVED_FROM} THEN min(slots) ELSE (min(slots) + 1) / 2 END) AS amount FROM cap
    ), wish AS MATERIALIZED (
        SELECT count(*) AS amount FROM one CROSS JOIN LATERAL (
            SELECT FROM run_live
            WHERE state = 'queued' AND lane = one.id AND (rank_at, run_live.id) >= (one.head_at, one.head_id)
            ORDER BY rank_at, run_live.id LIMIT (SELECT amount FROM bound)
        ) AS best
    ), locked AS MATERIALIZED (
        SELECT key, excess, ARRAY(
            SELECT slot FROM limit_slot
            WHERE limit_slot.key = cap.key AND slot <= cap.slots AND run_id IS NULL
            LIMIT (SELECT amount FROM wish) + cap.excess FOR UPDATE SKIP LOCKED
        ) AS free
        FROM cap
    ), got AS MATERIALIZED (
        SELECT CASE WHEN count(*) = 0 THEN $8 ELSE greatest(0, min(cardinality(free) - excess)) END AS amount FROM locked
    ), picked AS MATERIALIZED (
        SELECT best.id, best.rank_at FROM one CROSS JOIN LATERAL (
            SELECT id, rank_at FROM run_live
            WHERE state = 'queued' AND lane = one.id AND (rank_at, run_live.id) >= (one.head_at, one.head_id)
                AND EXISTS (SELECT FROM me)
            ORDER BY rank_at, run_live.id LIMIT (SELECT amount FROM got)
            FOR UPDATE SKIP LOCKED
        ) AS best
    ), given AS MATERIALIZED (
        SELECT locked.key, locked.free[placed.place + locked.excess] AS slot, placed.id AS run_id
        FROM (SELECT id, row_number() OVER (ORDER BY rank_at, id) AS place FROM picked) AS placed CROSS JOIN locked
    ), occupied AS (
        UPDATE limit_slot SET run_id = given.run_id FROM given
        WHERE limit_slot.key = given.key AND limit_slot.slot = given.slot
    ), taken AS (
        UPDATE run_live AS live SET
            state = 'running', worker_id = $1, attempt = live.attempt + 1, claimed_at = $2,
            slotted = EXISTS (SELECT FROM cap)
        FROM picked WHERE live.id = picked.id
        RETURNING live.id, lane, live.rank_at, {KEPT}
    ), limits AS (
        SELECT bound.amount AS bound, wish.amount AS wanted, got.amount AS locked, CASE WHEN got.amount < wish.amount THEN (
            SELECT min(free.amount - cap.excess) FROM cap CROSS JOIN LATERAL (
                SELECT count(*) - count(run_id) AS amount FROM limit_slot
                WHERE limit_slot.key = cap.key AND slot <= cap.slots
            ) AS free
        ) END AS free
        FROM bound CROSS JOIN wish CROSS JOIN got WHERE EXISTS (SELECT FROM cap)
    )
    SELECT
        (SELECT json_agg(lanes) FROM lanes) AS lanes, bound, wanted, locked, free, NULL AS id, NULL::bigint AS lane,
        NULL::timestamptz AS rank_at, NULL::json AS doc, {NO_CLAIM}
    FROM (SELECT) AS always LEFT JOIN limits ON true
    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, id, lane, rank_at, {KEPT} FROM taken
"""
# Runs end, and their slots go to those that are next in line, without being free in between. Only if that wrongs nobody: one lane
# alone has runs that wait, without a key or a rate; and only if all that end hold slots of just the keys that count now, and no
# run holds one above its limit. Otherwise their slots are free, and somebody claims them. A worker that is being rescued is not
# waited for, as the rescue would wait for the lines that end here.
#
# The first line tells what ``FINISH`` tells; the others are the runs that were taken.
HAND_OVER = f"""
    WITH {gone(8, "$2")}, waiting AS MATERIALIZED (
        SELECT lane.id, lane.labels, lane.queue, queue.slots AS queue_slots, head.rank_at AS head_at, head.id AS head_id
        FROM lane JOIN queue ON queue.name = lane.queue
        LEFT JOIN unnest($5::bigint[], $6::timestamptz[], $7::text[]) AS mark (lane, rank_at, id) ON mark.lane = lane.id
        CROSS JOIN LATERAL (
            SELECT rank_at, run_live.id FROM run_live
            WHERE state = 'queued' AND run_live.lane = lane.id
                AND (rank_at, run_live.id) >= (coalesce(mark.rank_at, '-infinity'), coalesce(mark.id, ''))
            ORDER BY rank_at, run_live.id LIMIT 1
        ) AS head
        WHERE lane.limit_key = '' AND queue.mode <> 'paused'
    ), me AS MATERIALIZED (
        SELECT id, labels FROM worker WHERE id = $1 AND expires_at > $2 FOR KEY SHARE SKIP LOCKED
    ), one AS MATERIALIZED (
        SELECT waiting.id, queue, queue_slots, house.slots AS house_slots, head_at, head_id
        FROM waiting JOIN me ON string_to_array(waiting.labels, ',') <@ me.labels
        LEFT JOIN limit_rule AS house ON house.name = '*'
        WHERE (SELECT count(*) FROM waiting) = 1 AND (waiting.labels LIKE '!%') = $3 AND house.rate IS NULL
            AND NOT EXISTS (SELECT FROM lane WHERE limit_key <> '')
    ), cap AS MATERIALIZED ({_CAP}), held AS MATERIALIZED (
        SELECT slot.key, slot.slot, slot.run_id, cap.key IS NOT NULL AS counts, dense_rank() OVER (ORDER BY gone.id) AS place
        FROM gone JOIN limit_slot AS slot ON slot.run_id = gone.id
        LEFT JOIN cap ON cap.key = slot.key AND slot.slot <= cap.slots
    ), fit AS MATERIALIZED (
        SELECT CASE
            WHEN bool_and(counts) AND count(*) = (SELECT count(*) FROM gone) * (SELECT count(*) FROM cap)
                AND (SELECT coalesce(sum(excess), 0) FROM cap) = 0
            THEN least($4, (SELECT count(*) FROM gone)) ELSE 0
        END AS amount FROM held
    ), picked AS MATERIALIZED (
        SELECT best.id, best.rank_at FROM one CROSS JOIN LATERAL (
            SELECT id, rank_at FROM run_live
            WHERE state = 'queued' AND lane = one.id AND (rank_at, run_live.id) >= (one.head_at, one.head_id)
            ORDER BY rank_at, run_live.id LIMIT (SELECT amount FROM fit)
            FOR UPDATE SKIP LOCKED
        ) AS best
    ), heirs AS MATERIALIZED (
        SELECT array_agg(id ORDER BY rank_at, id) AS ids FROM picked
    ), passed AS (
        UPDATE limit_slot SET run_id = (SELECT ids FROM heirs)[held.place] FROM held
        WHERE limit_slot.key = held.key AND limit_slot.slot = held.slot AND limit_slot.run_id = held.run_id
        RETURNING limit_slot.key, limit_slot.run_id
    ), taken AS (
        UPDATE run_live AS live SET
            state = 'running', worker_id = $1, attempt = live.attempt + 1, claimed_at = $2, slotted = true
        FROM picked WHERE live.id = picked.id
        RETURNING live.id, lane, live.rank_at, {KEPT}
    )
    SELECT
        (SELECT CASE WHEN count(*) < cardinality($8) THEN coalesce(array_agg(id), '{{}}') END FROM gone) AS gone,
        ARRAY(SELECT DISTINCT key FROM passed WHERE run_id IS NULL) AS freed,
        NULL AS id, NULL::bigint AS lane, NULL::timestamptz AS rank_at, NULL::json AS doc, {NO_CLAIM}
    UNION ALL SELECT NULL, NULL, id, lane, rank_at, {KEPT} FROM taken
"""
# Free slots, taken out of the others' sight until this unit ends. ``excess`` are holders above a limit that was lowered;
# ``seen`` are free, but some of them others may have locked.
LOCK_SLOTS = """
    SELECT cap.key, ARRAY(
        SELECT slot FROM limit_slot
        WHERE limit_slot.key = cap.key AND slot <= cap.slots AND run_id IS NULL
        ORDER BY slot LIMIT $3 FOR UPDATE SKIP LOCKED
    ) AS free, (
        SELECT count(run_id) FROM limit_slot WHERE limit_slot.key = cap.key AND slot > cap.slots
    ) AS excess, (
        SELECT count(*) FROM (
            SELECT FROM limit_slot WHERE limit_slot.key = cap.key AND slot <= cap.slots AND run_id IS NULL LIMIT $3
        ) AS one
    ) AS seen
    FROM unnest($1::text[], $2::int[]) AS cap (key, slots)
"""
# Whoever claims at the same time waits here, so that nobody takes a token that another one takes.
LOCK_BUCKETS = "SELECT rate, credit, at, key FROM limit_bucket WHERE key = ANY($1) ORDER BY key FOR UPDATE"
LOCK_RATES = "SELECT name, rate FROM limit_rule WHERE name = ANY($1) AND rate IS NOT NULL ORDER BY name FOR SHARE"
PUT_BUCKETS = """
    INSERT INTO limit_bucket (key, limit_name, rate, credit, at, full_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::json[], $4::bigint[], $5::timestamptz[], $6::timestamptz[])
    ON CONFLICT DO NOTHING
"""
SET_BUCKETS = """
    UPDATE limit_bucket SET rate = present.rate, credit = present.credit, at = present.at, full_at = present.full_at
    FROM unnest($1::text[], $2::text[], $3::json[], $4::bigint[], $5::timestamptz[], $6::timestamptz[])
        AS present (key, limit_name, rate, credit, at, full_at)
    WHERE limit_bucket.key = present.key
"""
CANDIDATES = """
    SELECT want.lane, best.rank_at, best.id
    FROM unnest($1::bigint[], $2::int[], $3::timestamptz[], $4::text[]) AS want (lane, amount, rank_at, id)
    CROSS JOIN LATERAL (
        SELECT rank_at, id FROM run_live
        WHERE state = 'queued' AND run_live.lane = want.lane AND (rank_at, id) >= (want.rank_at, want.id)
        ORDER BY rank_at, id LIMIT want.amount
    ) AS best
"""
# The worker's row is locked against the rescue, which deletes it, and not against its own beat. The pick is materialized so
# that the planner can neither run it twice nor lock more rows than it should. A queue may have been paused since the look.
TAKE = f"""
    WITH me AS MATERIALIZED (
        SELECT id FROM worker WHERE id = $1 AND expires_at > $2 FOR KEY SHARE
    ), picked AS MATERIALIZED (
        SELECT best.id, want.counted
        FROM unnest($3::bigint[], $4::int[], $5::timestamptz[], $6::text[], $7::bool[])
            AS want (lane, amount, rank_at, id, counted)
        CROSS JOIN LATERAL (
            SELECT id FROM run_live
            WHERE state = 'queued' AND run_live.lane = want.lane AND (rank_at, id) >= (want.rank_at, want.id)
            ORDER BY rank_at, id LIMIT want.amount
            FOR UPDATE SKIP LOCKED
        ) AS best
        WHERE EXISTS (SELECT FROM me)
            AND EXISTS (SELECT FROM lane JOIN queue ON name = lane.queue WHERE lane.id = want.lane AND mode <> 'paused')
    )
    UPDATE run_live AS live SET
        state = 'running', worker_id = $1, attempt = live.attempt + 1, claimed_at = $2, slotted = picked.counted
    FROM picked WHERE live.id = picked.id
    RETURNING live.id, lane, rank_at, {KEPT}
"""
OCCUPY = """
    UPDATE limit_slot SET run_id = given.run_id
    FROM unnest($1::text[], $2::int[], $3::text[]) AS given (key, slot, run_id)
    WHERE limit_slot.key = given.key AND limit_slot.slot = given.slot
"""
# Lanes that were looked at go to the back; one stays open only while it has a run, and a free slot and a token to give it. One
# that lacks a token is found again when that has come.
LOCK_LANES = "SELECT id FROM lane WHERE id = ANY($1) ORDER BY id FOR UPDATE"
TURN_LANES = """
    UPDATE lane SET
        opened_at = $3,
        ready_at = CASE
            WHEN EXISTS (SELECT FROM run_live WHERE run_live.lane = lane.id AND state = 'queued') THEN turned.ready_at
        END,
        open = turned.ready_at IS NULL
            AND EXISTS (SELECT FROM run_live WHERE run_live.lane = lane.id AND state = 'queued')
            AND EXISTS (
                SELECT FROM limit_rule WHERE name = lane.limit_name AND (
                    slots IS NULL OR EXISTS (
                        SELECT FROM limit_slot WHERE key = lane.limit_key AND run_id IS NULL AND slot <= limit_rule.slots
                    )
                )
            )
    FROM unnest($1::bigint[], $2::timestamptz[]) AS turned (id, ready_at) WHERE lane.id = turned.id
    RETURNING lane.ready_at
"""

_HELD = f"""
    SELECT id, {KEPT} FROM run_live AS live WHERE state = 'running' AND {{condition}} FOR UPDATE
"""
HELD_RUNS = _HELD.format(condition="id = ANY($1) ORDER BY id")
HELD_BY_WORKERS = _HELD.format(condition="worker_id = ANY($1) ORDER BY id LIMIT $2")
HINT = """
    SELECT
        (
            SELECT count(*) FROM (SELECT FROM run_live WHERE state = 'queued' ORDER BY lane, rank_at, id LIMIT 1000) AS queued
        ) AS queued,
        least(
            (SELECT min(run_at) FROM run_live WHERE state = 'scheduled'),
            (SELECT min(waits_until) FROM run_live WHERE waits_until IS NOT NULL AND state <> 'running'),
            (SELECT min(next_at) FROM job WHERE next_at IS NOT NULL AND fault IS NULL)
        ) AS due_at
"""
