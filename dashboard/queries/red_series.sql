-- Requests of each service over time: spans that enter a service, and the first span of a trace.
-- The bucket that is still filling is left out, so the last point does not dip.
SELECT
    service_name,
    epoch_ms(time_bucket(to_seconds($bucket_s), start_time::TIMESTAMP)) AS bucket_ms,
    count(*) AS request_count,
    count(*) FILTER (status_code = 'ERROR') AS error_count,
    approx_quantile(duration_ns, 0.5)::BIGINT AS p50_ns,
    approx_quantile(duration_ns, 0.95)::BIGINT AS p95_ns
FROM spans
WHERE start_time >= ((now() AT TIME ZONE 'UTC') - to_seconds($window_s))::TIMESTAMP_NS
  AND start_time < time_bucket(to_seconds($bucket_s), now() AT TIME ZONE 'UTC')::TIMESTAMP_NS
  AND (parent_span_id IS NULL OR span_kind IN ('SERVER', 'CONSUMER'))
GROUP BY service_name, bucket_ms
ORDER BY service_name, bucket_ms
