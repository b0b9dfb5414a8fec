-- What joins an incident is where people have put the incident. A known anomaly is an error here: to ask for them
-- takes 3 ms, and only spans that are judged again have any (keep_known_anomalies.sql).
INSERT INTO anomalies
SELECT
    anomaly_id, make_timestamp_ns($now), detector, severity, sigma, trace_id, span_id, service_name, operation,
    span_kind, time_at(start_unix_nano), span_duration_ns, observed, expected, unit, cell,
    sample_count, details::JSON, state, make_timestamp_ns($now), incident_id
FROM new_anomalies
