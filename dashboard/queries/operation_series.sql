-- Calls of one operation over time.
SELECT
    epoch_ms(time_bucket(to_seconds($bucket_s), start_time::TIMESTAMP)) AS bucket_ms,
    count(*) AS call_count,
    count(*) FILTER (status_code = 'ERROR') AS error_count,
    quantile_cont(duration_ns, 0.5)::DOUBLE AS p50_ns,
    quantile_cont(duration_ns, 0.95)::DOUBLE AS p95_ns
FROM spans
WHERE
    service_name = $service
    AND operation_of(span_name) = $operation
    AND start_time >= make_timestamp_ns($since::BIGINT) AND start_time < make_timestamp_ns($until::BIGINT)
GROUP BY bucket_ms
ORDER BY bucket_ms
LIMIT 2000
