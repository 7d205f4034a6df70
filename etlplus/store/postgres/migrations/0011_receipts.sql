-- Requests that take effect once: a receipt is written by the unit that does the deed, its answer afterwards.
CREATE TABLE receipt (
    principal text COLLATE "C", key text COLLATE "C", route text NOT NULL, fingerprint text NOT NULL,
    made text[] NOT NULL DEFAULT '{}', status int, headers json, body bytea, done_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL, PRIMARY KEY (principal, key)
);
CREATE INDEX receipt_expired ON receipt (expires_at);
