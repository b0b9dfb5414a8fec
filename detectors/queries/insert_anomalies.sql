-- Judging the same span again changes nothing. What joins an incident is where people have put the incident.
INSERT INTO anomalies
SELECT
    anomaly_id, make_timestamp_ns($now), detector, severity, sigma, trace_id, span_id, service_name, operation,
    span_kind, make_timestamp_ns(span_start_unix_nano), span_duration_ns, observed, expected, unit, cell,
    sample_count, details::JSON,
    coalesce((SELECT i.state FROM incidents i WHERE i.incident_id = new_anomalies.incident_id), 'open'),
    make_timestamp_ns($now), incident_id
FROM new_anomalies
ON CONFLICT (anomaly_id) DO NOTHING
