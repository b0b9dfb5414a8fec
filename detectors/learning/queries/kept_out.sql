-- Of which operations nothing is learned, from when until when (NULL: until the incident ends): those of
-- incidents that touch a stretch of time. What was adopted since is normal.
SELECT
    a.service_name, a.operation, a.span_kind, i.incident_id,
    epoch_ns(i.first_span_time) AS since_unix_nano,
    CASE WHEN i.state = 'resolved' THEN epoch_ns(i.last_span_time) END AS until_unix_nano
FROM incidents i
JOIN anomalies a ON a.incident_id = i.incident_id
JOIN detector_roles r ON r.detector = a.detector
WHERE
    r."role" = 'call'
    AND i.first_span_time <= time_at($latest)
    AND (i.state <> 'resolved' OR i.last_span_time >= time_at($earliest))
    AND NOT EXISTS (
        FROM baseline_versions v
        WHERE
            v.service_name = a.service_name AND v.operation = a.operation AND v.span_kind = a.span_kind
            AND v.measure = 'duration' AND (v.way = 'replaced' OR v.reason = 'engineer')
            AND v.adopted_at >= i.first_span_time
            AND (i.state <> 'resolved' OR v.began_at <= i.last_span_time)
    )
GROUP BY ALL
