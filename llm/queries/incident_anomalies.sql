-- The incident's anomalies to show: those of the exemplar trace first, since all other facts come from it;
-- there the largest, which for times is the outermost: what the user felt.
SELECT anomaly_id, detector, severity, sigma, trace_id, span_id, service_name, operation, span_kind,
       epoch_ns(span_start_time) AS start_unix_nano, span_duration_ns, observed, expected, unit, cell,
       sample_count, details::VARCHAR AS details, incident_id
FROM anomalies
WHERE incident_id = $id
ORDER BY trace_id = $trace_id DESC, observed DESC, span_start_time, anomaly_id
LIMIT $limit;
