SELECT
    * EXCLUDE (updated_at),
    self_time_p50_ns AS exclusive_p50_ns,  -- its name until schema version 6
    strftime(updated_at, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS updated_at,
    count(*) OVER () AS total
FROM baselines
WHERE
    ($service::VARCHAR IS NULL OR service_name = $service)
    AND ($operation::VARCHAR IS NULL OR operation = $operation)
ORDER BY service_name, operation, span_kind, cell
LIMIT $limit
