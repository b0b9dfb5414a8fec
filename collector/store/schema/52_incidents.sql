-- Anomalies that belong together.
CREATE TABLE IF NOT EXISTS incidents (
    incident_id       VARCHAR PRIMARY KEY,    -- hash of kind and first anomaly
    kind              VARCHAR  NOT NULL,      -- the detector of its first anomaly
    state             VARCHAR  NOT NULL,      -- open, acknowledged, resolved
    severity          TINYINT  NOT NULL,      -- the worst of its anomalies
    title             VARCHAR  NOT NULL,      -- one line for people
    opened_at         TIMESTAMP_NS NOT NULL,  -- when it was recognised, UTC
    last_seen_at      TIMESTAMP_NS NOT NULL,  -- when the newest of its anomalies was found
    first_span_time   TIMESTAMP_NS NOT NULL,  -- when it began, by the spans
    last_span_time    TIMESTAMP_NS NOT NULL,
    anomaly_count     BIGINT   NOT NULL,
    trace_count       BIGINT   NOT NULL,
    exemplar_trace_id VARCHAR  NOT NULL,      -- the trace to open first
    services          VARCHAR[] NOT NULL,     -- all services with anomalies, sorted
    root_causes       JSON     NOT NULL       -- [{rank, service, operation, score, share, kind, evidence: […]}]
);
