-- The operations of incidents that have not ended.
SELECT DISTINCT
    a.service_name, a.operation, a.span_kind, i.incident_id, i.state,
    epoch_ns(i.first_span_time) AS first_span_unix_nano
FROM incidents i
JOIN anomalies a ON a.incident_id = i.incident_id
JOIN detector_roles r ON r.detector = a.detector
WHERE i.state <> 'resolved' AND r."role" = 'call'
