-- One row for each observation that is improbable by its own history.
CREATE TABLE IF NOT EXISTS anomalies (
    anomaly_id       VARCHAR PRIMARY KEY,     -- hash of detector, trace and span: judging twice stores once
    detected_at      TIMESTAMP_NS NOT NULL,   -- when the row was written, UTC
    detector         VARCHAR  NOT NULL,       -- latency, amount, error, throughput, structure, message_wait, log, metric, market
    severity         TINYINT  NOT NULL,       -- 1 worst … 5
    sigma            DOUBLE   NOT NULL,       -- calibrated: normal quantile of the tail probability
    trace_id         VARCHAR  NOT NULL,
    span_id          VARCHAR  NOT NULL,       -- always a stored span, or empty for a metric of a service that has none
    service_name     VARCHAR  NOT NULL,
    operation        VARCHAR  NOT NULL,       -- span_name
    span_kind        VARCHAR  NOT NULL,
    span_start_time  TIMESTAMP_NS NOT NULL,   -- UTC
    span_duration_ns BIGINT   NOT NULL,
    observed         DOUBLE   NOT NULL,       -- what was seen …
    expected         DOUBLE   NOT NULL,       -- … and the baseline's median
    unit             VARCHAR  NOT NULL,       -- ns, or the asset
    cell             VARCHAR  NOT NULL,       -- which part of the history it was compared with
    sample_count     BIGINT   NOT NULL,       -- how many samples that part had
    details          JSON     NOT NULL,       -- e.g. {"asset", "side", "attribute"}; `text` says it in one line
    state            VARCHAR  NOT NULL,       -- open, acknowledged, snoozed, resolved
    state_changed_at TIMESTAMP_NS NOT NULL,
    incident_id      VARCHAR                  -- NULL while it stands alone
);
