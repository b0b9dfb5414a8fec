-- Decisions of people on anomalies, groups of them and incidents: a permanent row for each decision. The state itself
-- is in `anomalies` and `incidents`; an incident that followed its anomalies has its own row.
CREATE TABLE IF NOT EXISTS decisions (
    subject_kind VARCHAR NOT NULL,      -- anomaly, group, incident
    subject_id   VARCHAR NOT NULL,
    state        VARCHAR NOT NULL,      -- into which it was put: open, acknowledged, snoozed, resolved
    said_by      VARCHAR NOT NULL,      -- 'anonymous' where nobody said who
    said_at      TIMESTAMP_NS NOT NULL  -- UTC
);
CREATE INDEX IF NOT EXISTS decisions_by_subject ON decisions (subject_id);
