SELECT incident_id, kind, severity, title, epoch_ns(first_span_time) AS first_unix_nano,
       epoch_ns(last_span_time) AS last_unix_nano, anomaly_count, trace_count, exemplar_trace_id,
       root_causes::VARCHAR AS root_causes
FROM incidents
WHERE incident_id = $id;
