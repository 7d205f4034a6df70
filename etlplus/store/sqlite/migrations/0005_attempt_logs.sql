-- What attempts write: a row for each line, and how far each log is.
CREATE TABLE attempt_log (
    run_id TEXT NOT NULL, attempt INTEGER NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, level TEXT NOT NULL,
    line TEXT NOT NULL, PRIMARY KEY (run_id, attempt, number)
) WITHOUT ROWID;
CREATE TABLE log_state (
    run_id TEXT NOT NULL, attempt INTEGER NOT NULL, lines INTEGER NOT NULL, kept_bytes INTEGER NOT NULL,
    dropped INTEGER NOT NULL, PRIMARY KEY (run_id, attempt)
) WITHOUT ROWID;
