"""
DBOS with its defaults: a queue without limits, and a workflow that is an ordinary function and so runs on DBOS's threads.

A queue without limits is claimed whole at one poll; with a limit, each second's poll would claim no more than that. The clock
therefore starts at the claim, which DBOS records, and not at the first execution. Ordinary functions are measured because
they burn faster than coroutines. DBOS has no enqueueing in bulk: its client enqueues all in one transaction. A run is
acknowledged when its row says ``SUCCESS``.
"""

from __future__ import annotations

import time

import sqlalchemy
import stopwatch
from dbos import DBOS, DBOSClient

APPLICATION, QUEUE, WORKFLOW = "burn", "burn", "noop"
LEFT = sqlalchemy.text("SELECT EXISTS (SELECT FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING'))")
DONE = sqlalchemy.text("SELECT count(*), min(started_at_epoch_ms) FROM dbos.workflow_status WHERE status = 'SUCCESS'")
PSYCOPG = stopwatch.ADDRESS.replace("postgresql://", "postgresql+psycopg://", 1)

DBOS(config={"name": APPLICATION, "system_database_url": stopwatch.ADDRESS, "log_level": "WARNING"})


@DBOS.workflow(name=WORKFLOW)
def noop() -> None:
    """Nothing but a note."""
    stopwatch.executed()


def enqueue(engine: sqlalchemy.Engine) -> None:
    """All runs, in one transaction."""
    DBOS.migrate(stopwatch.ADDRESS)
    client = DBOSClient(system_database_url=stopwatch.ADDRESS)
    client.register_queue(QUEUE, application_name=APPLICATION)
    options = {"workflow_name": WORKFLOW, "queue_name": QUEUE, "application_name": APPLICATION}
    with engine.begin() as connection:
        for _ in range(stopwatch.RUNS):
            client.enqueue_in_transaction(connection, options)
        connection.execute(sqlalchemy.text("ANALYZE"))
    client.destroy()


def main() -> None:
    """Enqueue, burn, report."""
    engine = sqlalchemy.create_engine(PSYCOPG)
    enqueue(engine)
    DBOS.launch()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as looking:
        until = stopwatch.wait_until(
            lambda: len(stopwatch.moments) >= stopwatch.RUNS and not looking.execute(LEFT).scalar_one()
        )
        from_epoch = time.time() - time.monotonic()
        acknowledged, claimed_ms = looking.execute(DONE).one()
    DBOS.destroy()
    engine.dispose()
    settings = {"processes": 1, "concurrency": "no limit", "threads": "no limit"}
    stopwatch.report(settings, acknowledged, until, began=claimed_ms / 1000 - from_epoch)


main()
