-- The newest traces of some time that began like those of an incident and in which nothing was anomalous.
WITH roots AS (
    SELECT DISTINCT service_name, operation_of(span_name) AS operation
    FROM spans
    WHERE
        trace_id IN (SELECT unnest($trace_ids::VARCHAR[])) AND parent_span_id IS NULL
        AND start_time >= time_at($earliest) AND start_time <= time_at($latest)
)
SELECT trace_id
FROM spans
WHERE
    parent_span_id IS NULL
    AND start_time >= time_at($begin) AND start_time < time_at($end)
    AND (service_name, operation_of(span_name)) IN (SELECT (service_name, operation) FROM roots)
    AND trace_id NOT IN (SELECT trace_id FROM anomalies)
ORDER BY start_time DESC
LIMIT $limit
