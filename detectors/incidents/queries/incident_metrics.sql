-- The metrics that moved between two moments, as their anomalies tell, and resources that still grow.
SELECT
    a.service_name, a.operation AS metric_name, a.sigma, a.observed, a.expected, a.unit,
    a.details ->> 'text' AS "text", a.trace_id, a.span_id
FROM anomalies a
LEFT JOIN incidents i ON i.incident_id = a.incident_id AND i.kind = 'metric' AND i.state <> 'resolved'
WHERE
    a.detector = 'metric'
    AND (a.details ->> 'since_unix_nano')::BIGINT <= $until
    AND ((a.details ->> 'until_unix_nano')::BIGINT >= $since OR i.incident_id IS NOT NULL)
