-- Requests that take effect once: a receipt is written by the unit that does the deed, its answer afterwards.
CREATE TABLE receipt (
    principal TEXT NOT NULL, key TEXT NOT NULL, route TEXT NOT NULL, fingerprint TEXT NOT NULL,
    made BLOB NOT NULL DEFAULT '[]', status INTEGER, headers BLOB, body BLOB, done_at REAL NOT NULL,
    expires_at REAL NOT NULL, PRIMARY KEY (principal, key)
) WITHOUT ROWID;
CREATE INDEX receipt_expired ON receipt (expires_at);
