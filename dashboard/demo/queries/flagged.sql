SELECT detector, trace_id, epoch_ns(detected_at) AS detected_unix_nano, incident_id
FROM anomalies
ORDER BY detected_at
