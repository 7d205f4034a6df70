-- What attempts write: a row for each line, and how far each log is.
CREATE TABLE attempt_log (
    run_id text COLLATE "C", attempt int, number int, at timestamptz NOT NULL, level text NOT NULL, line text NOT NULL,
    PRIMARY KEY (run_id, attempt, number)
);
CREATE TABLE log_state (
    run_id text COLLATE "C", attempt int, lines int NOT NULL, kept_bytes bigint NOT NULL, dropped int NOT NULL,
    PRIMARY KEY (run_id, attempt)
) WITH (fillfactor = 70);
