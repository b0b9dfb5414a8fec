-- Slow spans that are no anomaly of their own: slow by chance, or because of a span inside them. They are never
-- learned. A span that has joined an incident later is also a row of `anomalies`.
CREATE TABLE IF NOT EXISTS held_spans (
    trace_id    VARCHAR NOT NULL,
    span_id     VARCHAR NOT NULL,
    detected_at TIMESTAMP_NS NOT NULL,  -- UTC
    PRIMARY KEY (trace_id, span_id)
);
