-- Which versions of a service, or of all, answered requests in a time range. A version that begins within it was deployed.
SELECT
    service_name,
    coalesce(
        resource_attributes['service.version']::VARCHAR, resource_attributes['deployment.id']::VARCHAR
    ) AS version,
    epoch_ms(min(start_time)) AS first_ms,
    epoch_ms(max(start_time)) AS last_ms,
    count(*) AS call_count,
    count(*) FILTER (status_code = 'ERROR') AS error_count
FROM spans
WHERE
    start_time >= make_timestamp_ns($since::BIGINT) AND start_time < make_timestamp_ns($until::BIGINT)
    AND ($service::VARCHAR IS NULL OR service_name = $service)
    AND (parent_span_id IS NULL OR span_kind IN ('SERVER', 'CONSUMER'))
    AND (resource_attributes['service.version'] IS NOT NULL OR resource_attributes['deployment.id'] IS NOT NULL)
GROUP BY ALL
ORDER BY service_name, first_ms DESC
LIMIT 500
