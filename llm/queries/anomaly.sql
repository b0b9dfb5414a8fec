-- One anomaly; $id is its anomaly_id.
SELECT anomaly_id, detector, severity, sigma, trace_id, span_id, service_name, operation, span_kind,
       epoch_ns(span_start_time) AS start_unix_nano, span_duration_ns, observed, expected, unit, cell,
       sample_count, details::VARCHAR AS details, incident_id
FROM anomalies
WHERE anomaly_id = $id;
