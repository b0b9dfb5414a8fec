-- What is usual: the median and the high end of whole minutes. Requests as in red_now.
WITH minutes AS (
    SELECT
        service_name,
        CASE WHEN $of_users THEN operation_of(span_name) ELSE '' END AS operation,
        time_bucket(INTERVAL 1 MINUTE, start_time::TIMESTAMP) AS minute,
        count(*) AS request_count,
        count(*) FILTER (status_code = 'ERROR') / count(*) AS error_share,
        quantile_cont(duration_ns, 0.5) AS p50_ns,
        quantile_cont(duration_ns, 0.95) AS p95_ns
    FROM spans
    WHERE
        start_time >= make_timestamp_ns($from::BIGINT) AND start_time < make_timestamp_ns($to::BIGINT)
        AND (parent_span_id IS NULL OR (NOT $of_users AND span_kind IN ('SERVER', 'CONSUMER')))
    GROUP BY ALL
)
SELECT
    service_name, operation,
    count(*) AS usual_minutes,
    median(request_count) / 60 AS usual_rate_per_s,
    median(error_share) AS usual_error_share,
    quantile_cont(error_share, 0.95) AS high_error_share,
    median(p50_ns)::DOUBLE AS usual_p50_ns,
    median(p95_ns)::DOUBLE AS usual_p95_ns,
    quantile_cont(p95_ns, 0.95)::DOUBLE AS high_p95_ns
FROM minutes
GROUP BY ALL
ORDER BY usual_rate_per_s DESC, service_name, operation
LIMIT 2000
