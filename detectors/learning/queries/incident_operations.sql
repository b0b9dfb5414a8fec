-- The operations of an incident, by what was found there, and how many of their calls fell into its time.
WITH found AS (
    SELECT
        a.service_name, a.operation, a.span_kind,
        bool_or(a.detector = 'latency') AS is_latency,
        bool_or(a.detector = 'error') AS is_error
    FROM anomalies a
    WHERE a.incident_id = $incident_id AND a.detector IN ('latency', 'error')
    GROUP BY ALL
)
SELECT
    f.service_name, f.operation, f.span_kind, f.is_latency, f.is_error,
    count(s.span_id) AS call_count,
    count(s.span_id) FILTER (s.status_code = 'ERROR') AS failed_count
FROM found f
LEFT JOIN spans s
    ON s.service_name = f.service_name AND operation_of(s.span_name) = f.operation AND s.span_kind = f.span_kind
    AND s.start_time >= time_at($since) AND s.start_time <= time_at($until)
GROUP BY ALL
ORDER BY ALL
