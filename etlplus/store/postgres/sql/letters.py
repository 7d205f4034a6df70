"""
Statements about dead letters.
"""

from __future__ import annotations

_COLUMNS = "run.doc, failed_at, resolution, resolved_at, reason, replay_id"
_CHOSEN = """
    FROM dead_letter JOIN run ON run.id = dead_letter.run_id
    WHERE ($1::text[] IS NULL OR run_id = ANY($1)) AND ($2::text IS NULL OR dead_letter.job_id = $2)
        AND ($3::text IS NULL OR dead_letter.queue = $3) AND ($4::text IS NULL OR code = $4)
        AND ($5::timestamptz IS NULL OR failed_at >= $5) AND ($6::timestamptz IS NULL OR failed_at < $6)
"""
OPEN = f"""
    SELECT {_COLUMNS} {_CHOSEN} AND resolution IS NULL AND ($8::text IS NULL OR run_id < $8)
    ORDER BY run_id DESC LIMIT $7
"""
RESOLVED = f"""
    SELECT {_COLUMNS} {_CHOSEN} AND resolution IS NOT NULL AND ($8::text IS NULL OR run_id < $8)
    ORDER BY run_id DESC LIMIT $7
"""
# Oldest first: what failed first is replayed first. Somebody who resolves them at the same time is waited for.
TO_RESOLVE = f"""
    SELECT run.doc {_CHOSEN} AND resolution IS NULL ORDER BY run_id LIMIT $7 FOR UPDATE OF dead_letter
"""
RESOLVE = """
    UPDATE dead_letter SET resolution = $1, resolved_at = $2, reason = $3, replay_id = resolved.replay_id
    FROM unnest($4::text[], $5::text[]) AS resolved (run_id, replay_id) WHERE dead_letter.run_id = resolved.run_id
"""
