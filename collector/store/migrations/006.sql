-- One word for one thing: a span's time without its children's is self time, a message's time under way is message
-- wait. First the tables as version 5 made them, so that a file from before them is brought up too.
CREATE TABLE IF NOT EXISTS baseline_sketches (
    measure VARCHAR NOT NULL, service_name VARCHAR NOT NULL, operation VARCHAR NOT NULL, span_kind VARCHAR NOT NULL,
    facet VARCHAR NOT NULL, hour_of_week SMALLINT NOT NULL, flagged BOOLEAN NOT NULL, bucket INTEGER NOT NULL,
    sample_count BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS baselines (
    service_name VARCHAR NOT NULL, operation VARCHAR NOT NULL, span_kind VARCHAR NOT NULL, cell VARCHAR NOT NULL,
    sample_count BIGINT NOT NULL, flagged_count BIGINT NOT NULL, p50_ns DOUBLE NOT NULL, p90_ns DOUBLE NOT NULL,
    p99_ns DOUBLE NOT NULL, p999_ns DOUBLE NOT NULL, sigma3_ns DOUBLE NOT NULL, exclusive_p50_ns DOUBLE,
    tail_threshold_ns DOUBLE NOT NULL, tail_share DOUBLE NOT NULL, tail_shape DOUBLE NOT NULL,
    tail_scale DOUBLE NOT NULL, state VARCHAR NOT NULL, updated_at TIMESTAMP_NS NOT NULL
);
CREATE TABLE IF NOT EXISTS anomalies (
    anomaly_id VARCHAR PRIMARY KEY, detected_at TIMESTAMP_NS NOT NULL, detector VARCHAR NOT NULL,
    severity TINYINT NOT NULL, sigma DOUBLE NOT NULL, trace_id VARCHAR NOT NULL, span_id VARCHAR NOT NULL,
    service_name VARCHAR NOT NULL, operation VARCHAR NOT NULL, span_kind VARCHAR NOT NULL,
    span_start_time TIMESTAMP_NS NOT NULL, span_duration_ns BIGINT NOT NULL, observed DOUBLE NOT NULL,
    expected DOUBLE NOT NULL, unit VARCHAR NOT NULL, cell VARCHAR NOT NULL, sample_count BIGINT NOT NULL,
    details JSON NOT NULL, state VARCHAR NOT NULL, state_changed_at TIMESTAMP_NS NOT NULL, incident_id VARCHAR
);
CREATE TABLE IF NOT EXISTS incidents (
    incident_id VARCHAR PRIMARY KEY, kind VARCHAR NOT NULL, state VARCHAR NOT NULL, severity TINYINT NOT NULL,
    title VARCHAR NOT NULL, opened_at TIMESTAMP_NS NOT NULL, last_seen_at TIMESTAMP_NS NOT NULL,
    first_span_time TIMESTAMP_NS NOT NULL, last_span_time TIMESTAMP_NS NOT NULL, anomaly_count BIGINT NOT NULL,
    trace_count BIGINT NOT NULL, exemplar_trace_id VARCHAR NOT NULL, services VARCHAR[] NOT NULL,
    root_causes JSON NOT NULL
);
ALTER TABLE baselines RENAME exclusive_p50_ns TO self_time_p50_ns;
UPDATE baseline_sketches SET measure = 'self_time' WHERE measure = 'exclusive';
UPDATE baseline_sketches SET measure = 'message_wait' WHERE measure = 'gap';
UPDATE anomalies SET detector = 'message_wait' WHERE detector = 'gap';
UPDATE incidents SET kind = 'message_wait' WHERE kind = 'gap';
CREATE MACRO renamed(said) AS replace(
    replace(replace(said::VARCHAR, '"exclusive_time"', '"self_time"'), '"message_gap"', '"message_wait"'),
    '"gap"', '"message_wait"'
)::JSON;
UPDATE incidents SET root_causes = renamed(root_causes);
UPDATE explanations SET root_causes = renamed(root_causes), evidence = renamed(evidence);
DROP MACRO renamed;
