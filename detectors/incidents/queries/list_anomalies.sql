-- `%n` stands last in each format: DuckDB 2.0 writes what follows it over its last three digits.
-- Anomalies by filter; a filter that is NULL lets everything pass.
SELECT
    anomaly_id,
    strftime(detected_at, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS detected_at,
    detector, severity, sigma, trace_id, span_id, service_name, operation, span_kind,
    strftime(span_start_time, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS span_start_time,
    span_duration_ns, observed, expected, unit, cell, sample_count, details::VARCHAR AS details, state,
    strftime(state_changed_at, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS state_changed_at,
    incident_id,
    count(*) OVER () AS total
FROM anomalies
WHERE
    ($anomaly_id::VARCHAR IS NULL OR anomaly_id = $anomaly_id)
    AND ($incident_id::VARCHAR IS NULL OR incident_id = $incident_id)
    AND ($severities::INTEGER[] IS NULL OR list_contains($severities::INTEGER[], severity::INTEGER))
    AND ($service::VARCHAR IS NULL OR service_name = $service)
    AND ($detector::VARCHAR IS NULL OR detector = $detector)
    AND ($state::VARCHAR IS NULL OR state = $state)
    AND ($since::HUGEINT IS NULL OR detected_at >= time_at($since))
ORDER BY CASE WHEN $by = 'severity' THEN severity ELSE 0 END, anomalies.detected_at DESC, sigma DESC, anomaly_id
LIMIT $limit
