-- One row: the position up to which the spool has landed, written in the transaction that inserts the rows,
-- so that no crash can separate the two.
CREATE TABLE IF NOT EXISTS landing_position (
    batch_id        BIGINT       NOT NULL,  -- newest landed batch of any signal
    traces_batch_id BIGINT       NOT NULL,  -- newest landed batch that held spans
    segment_id      BIGINT       NOT NULL,  -- spool segment of the next record to land
    segment_offset_bytes BIGINT  NOT NULL,  -- its place in that segment
    landed_at       TIMESTAMP_NS NOT NULL,  -- UTC
    span_count      BIGINT       NOT NULL,  -- totals since the file was made: cheap for /metrics
    log_count       BIGINT       NOT NULL,
    metric_point_count BIGINT    NOT NULL,
    duplicate_span_count BIGINT  NOT NULL,  -- client retries that were stored once
    quarantined_record_count BIGINT NOT NULL  -- spool records that could not be decoded, kept in files
);
INSERT INTO landing_position
SELECT 0, 0, 0, 0, make_timestamp_ns(0), 0, 0, 0, 0, 0
WHERE NOT EXISTS (FROM landing_position);
