-- The incidents that a replay has opened.
SELECT incident_id, kind, severity, title, epoch_ns(first_span_time) AS first_span_unix_nano, anomaly_count
FROM incidents
ORDER BY first_span_unix_nano, incident_id
