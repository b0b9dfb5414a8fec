INSERT INTO trace_scores
SELECT
    trace_id, time_at(start_unix_nano), anomaly_sigma, times_sigma, forms_sigma, span_id, service_name,
    operation, reason, span_count, make_timestamp_ns($now)
FROM new_scores
