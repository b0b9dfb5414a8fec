-- What a person decided outlives every update but the end of the incident.
INSERT INTO incidents
SELECT
    incident_id, kind, state, severity, title, time_at(opened_unix_nano),
    time_at(last_seen_unix_nano), time_at(first_span_unix_nano),
    time_at(last_span_unix_nano), anomaly_count, trace_count, exemplar_trace_id, services,
    root_causes::JSON
FROM saved_incidents
ON CONFLICT (incident_id) DO UPDATE SET
    state = CASE
        WHEN excluded.state = 'open' AND incidents.state <> 'resolved' THEN incidents.state
        ELSE excluded.state
    END,
    severity = excluded.severity, title = excluded.title, last_seen_at = excluded.last_seen_at,
    first_span_time = excluded.first_span_time, last_span_time = excluded.last_span_time,
    anomaly_count = excluded.anomaly_count, trace_count = excluded.trace_count,
    exemplar_trace_id = excluded.exemplar_trace_id, services = excluded.services,
    root_causes = excluded.root_causes
