-- What a person decided outlives every update but the end of the incident. The title follows what is found
-- while the incident is young; later people have spoken of it by that name. Late spans that join an incident
-- which has ended bring no causes: those that were found stay.
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
    severity = excluded.severity,
    title = CASE
        WHEN incidents.kind <> 'metric' AND epoch_ns(excluded.last_seen_at) - epoch_ns(incidents.opened_at) > 60e9
            THEN incidents.title
        ELSE excluded.title
    END,
    last_seen_at = excluded.last_seen_at,
    first_span_time = excluded.first_span_time, last_span_time = excluded.last_span_time,
    anomaly_count = excluded.anomaly_count, trace_count = excluded.trace_count,
    exemplar_trace_id = excluded.exemplar_trace_id, services = excluded.services,
    root_causes = CASE
        WHEN json_array_length(excluded.root_causes) = 0 THEN incidents.root_causes
        ELSE excluded.root_causes
    END
