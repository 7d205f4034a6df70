-- Claims look at the lanes of one kind of runs: those that call functions of the program, or the others.
DROP INDEX lane_open;
DROP INDEX lane_ready;
DROP INDEX lane_plain;
CREATE INDEX lane_open ON lane ((labels LIKE '!%'), opened_at, id) WHERE open AND limit_key <> '';
CREATE INDEX lane_ready ON lane ((labels LIKE '!%'), ready_at, id) WHERE ready_at IS NOT NULL;
CREATE INDEX lane_plain ON lane ((labels LIKE '!%'), id) WHERE limit_key = '';
