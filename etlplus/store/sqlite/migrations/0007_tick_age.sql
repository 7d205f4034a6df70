-- The ledger is tidied by age.
CREATE INDEX tick_decided ON tick (decided_at);
