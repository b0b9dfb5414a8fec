-- Requests of the last minute. Requests are spans that enter a service, and the first span of a trace; for $of_users
-- only the latter, by operation.
SELECT
    service_name,
    CASE WHEN $of_users THEN operation_of(span_name) ELSE '' END AS operation,
    count(*) AS request_count,
    count(*) FILTER (status_code = 'ERROR') AS error_count,
    quantile_cont(duration_ns, 0.5)::DOUBLE AS p50_ns,
    quantile_cont(duration_ns, 0.95)::DOUBLE AS p95_ns,
    quantile_cont(duration_ns, 0.99)::DOUBLE AS p99_ns
FROM spans
WHERE
    start_time >= make_timestamp_ns($from::BIGINT) AND start_time <= make_timestamp_ns($to::BIGINT)
    AND (parent_span_id IS NULL OR (NOT $of_users AND span_kind IN ('SERVER', 'CONSUMER')))
GROUP BY ALL
ORDER BY request_count DESC, service_name, operation
LIMIT 500
