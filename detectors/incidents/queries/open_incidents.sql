-- Incidents that have not ended, with what grouping needs of their anomalies.
SELECT
    i.incident_id, i.kind, i.severity, i.anomaly_count, i.trace_count, i.exemplar_trace_id, i.services,
    i.root_causes::VARCHAR AS root_causes,
    epoch_ns(i.opened_at) AS opened_unix_nano,
    epoch_ns(i.last_seen_at) AS last_seen_unix_nano,
    epoch_ns(i.first_span_time) AS first_span_unix_nano,
    epoch_ns(i.last_span_time) AS last_span_unix_nano,
    max(a.sigma) AS worst_sigma,
    any_value(a.cell) AS cell,
    list(DISTINCT {service_name: a.service_name, operation: a.operation, span_kind: a.span_kind})
        FILTER (a.anomaly_id IS NOT NULL) AS operations
FROM incidents i
LEFT JOIN anomalies a ON a.incident_id = i.incident_id
WHERE i.state <> 'resolved'
GROUP BY ALL
