-- How slow each operation was in each quarter of an hour, with all flagged spans: this distinguishes a lasting change
-- from trouble. Kept for two days.
CREATE TABLE IF NOT EXISTS operation_levels (
    service_name VARCHAR NOT NULL,
    operation    VARCHAR NOT NULL,       -- span_name
    span_kind    VARCHAR NOT NULL,
    slot_time    TIMESTAMP_NS NOT NULL,  -- the start of the quarter of an hour, UTC
    sample_count BIGINT  NOT NULL,       -- all spans; a quiet operation's quarters are gathered until they are enough
    failed_count BIGINT  NOT NULL,       -- with status ERROR
    p50_ns       DOUBLE  NOT NULL,
    p90_ns       DOUBLE  NOT NULL,
    usual_p50_ns DOUBLE  NOT NULL,       -- of the baseline then in use, for this hour of week
    usual_p90_ns DOUBLE  NOT NULL
);
-- Each change of a baseline that is more than learning: from which level to which, when, and why.
CREATE TABLE IF NOT EXISTS baseline_versions (
    version_id   VARCHAR PRIMARY KEY,    -- hash of operation, measure and adopted_at
    adopted_at   TIMESTAMP_NS NOT NULL,  -- UTC
    service_name VARCHAR NOT NULL,
    operation    VARCHAR NOT NULL,       -- span_name
    span_kind    VARCHAR NOT NULL,
    measure      VARCHAR NOT NULL,       -- duration or error
    reason       VARCHAR NOT NULL,       -- drift: slow change, or a level that lasted; deploy; engineer
    way          VARCHAR NOT NULL,       -- rescaled: the history moved to the new level; replaced: by the spans since
                                         -- began_at; added: to the history
    began_at     TIMESTAMP_NS NOT NULL,  -- when the new level began, UTC
    from_value   DOUBLE  NOT NULL,       -- median in ns, or share of failed calls, that was usual before
    to_value     DOUBLE  NOT NULL,       -- and that is usual now
    from_p90     DOUBLE,                 -- in ns; NULL for errors
    to_p90       DOUBLE,
    sample_count BIGINT  NOT NULL,       -- spans of the new level that were looked at
    evidence     JSON    NOT NULL        -- what the decision rests on, e.g. {"changed": [{"service", "attribute", …}]}
);
-- What had been learned of a fault before it became an incident, and was taken out again.
CREATE TABLE IF NOT EXISTS unlearned (
    incident_id  VARCHAR NOT NULL,
    service_name VARCHAR NOT NULL,
    operation    VARCHAR NOT NULL,       -- span_name
    span_kind    VARCHAR NOT NULL,
    since        TIMESTAMP_NS NOT NULL,  -- the incident's first span, UTC: nothing after it stays learned
    sample_count BIGINT  NOT NULL,       -- durations that were taken out
    unlearned_at TIMESTAMP_NS NOT NULL,
    PRIMARY KEY (incident_id, service_name, operation, span_kind)
);
