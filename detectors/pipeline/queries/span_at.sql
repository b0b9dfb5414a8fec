-- The newest span of a service that began within some time: it stands for what was measured then.
SELECT
    trace_id, span_id, service_name, operation_of(span_name) AS operation, span_kind,
    epoch_ns(start_time) AS start_unix_nano, duration_ns
FROM spans
WHERE
    service_name = $service
    AND start_time >= time_at($since) AND start_time <= time_at($until)
ORDER BY start_time DESC, span_id
LIMIT 1
