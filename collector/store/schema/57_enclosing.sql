-- Spans that were slow because an anomalous span within them was: no anomalies of their own, and never learned.
CREATE TABLE IF NOT EXISTS enclosing_spans (
    trace_id    VARCHAR NOT NULL,
    span_id     VARCHAR NOT NULL,
    detected_at TIMESTAMP_NS NOT NULL,  -- UTC
    PRIMARY KEY (trace_id, span_id)
);
