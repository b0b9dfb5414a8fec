SELECT key, value, share, usual_share, trace_count, service_name AS service, operation, trace_id, span_id
FROM incident_differences
WHERE incident_id = $incident_id
ORDER BY rank
