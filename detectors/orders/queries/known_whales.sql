SELECT anomaly_id, epoch_ns(span_start_time) AS start_unix_nano, span_duration_ns
FROM anomalies
WHERE anomaly_id IN (SELECT unnest($anomaly_ids::VARCHAR[]))
