SELECT
    * EXCLUDE (updated_at),
    strftime(updated_at, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS updated_at,
    count(*) OVER () AS total
FROM baselines
WHERE
    ($service::VARCHAR IS NULL OR service_name = $service)
    AND ($operation::VARCHAR IS NULL OR operation = $operation)
ORDER BY service_name, operation, span_kind, cell
LIMIT $limit
