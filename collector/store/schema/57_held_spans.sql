-- Slow spans that are no anomaly of their own: as chance gives, or slow because of a span within them. Never learned.
-- One that has joined an incident since then is a row of `anomalies` as well.
CREATE TABLE IF NOT EXISTS held_spans (
    trace_id    VARCHAR NOT NULL,
    span_id     VARCHAR NOT NULL,
    detected_at TIMESTAMP_NS NOT NULL,  -- UTC
    PRIMARY KEY (trace_id, span_id)
);
