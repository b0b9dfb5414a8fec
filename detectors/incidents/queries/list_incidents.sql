-- `%n` stands last in each format: DuckDB 2.0 writes what follows it over its last three digits.
SELECT
    incident_id, kind, state, severity, title,
    strftime(opened_at, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS opened_at,
    strftime(last_seen_at, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS last_seen_at,
    strftime(first_span_time, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS first_span_time,
    strftime(last_span_time, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS last_span_time,
    anomaly_count, trace_count, exemplar_trace_id, services, root_causes::VARCHAR AS root_causes,
    -- What a person decided last; all NULL where nobody has.
    (
        SELECT {
            'state': state,
            'said_by': said_by,
            'said_at': strftime(said_at, '%Y-%m-%dT%H:%M:%S.%n') || 'Z'
        }
        FROM decisions
        WHERE subject_kind = 'incident' AND subject_id = incidents.incident_id
        ORDER BY decisions.said_at DESC, decisions.rowid DESC
        LIMIT 1
    ) AS decided,
    count(*) OVER () AS total
FROM incidents
WHERE
    ($incident_id::VARCHAR IS NULL OR incident_id = $incident_id)
    AND ($severities::INTEGER[] IS NULL OR list_contains($severities::INTEGER[], severity::INTEGER))
    AND ($service::VARCHAR IS NULL OR list_contains(services, $service))
    AND ($kind::VARCHAR IS NULL OR kind = $kind)
    AND ($state::VARCHAR IS NULL OR state = $state)
    AND ($since::HUGEINT IS NULL OR last_seen_at >= time_at($since))
ORDER BY CASE WHEN $by = 'severity' THEN severity ELSE 0 END, incidents.opened_at DESC, incident_id
LIMIT $limit
