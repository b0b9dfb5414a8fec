SELECT
    segment_id,
    segment_offset_bytes,
    batch_id,
    traces_batch_id,
    span_count,
    log_count,
    metric_point_count,
    duplicate_span_count,
    quarantined_record_count
FROM landing_position
