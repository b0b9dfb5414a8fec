-- Requests now, and the usual values before: the median and the high end of whole minutes. Requests are spans that
-- enter a service, and the first span of a trace; for $of_users only the latter, by operation.
WITH requests AS (
    SELECT
        service_name,
        CASE WHEN $of_users THEN operation_of(span_name) ELSE '' END AS operation,
        start_time, duration_ns, status_code,
        start_time >= make_timestamp_ns($now_from::BIGINT) AS is_now
    FROM spans
    WHERE
        (
            (start_time >= make_timestamp_ns($now_from::BIGINT) AND start_time <= make_timestamp_ns($now_to::BIGINT))
            OR (start_time >= make_timestamp_ns($usual_from::BIGINT) AND start_time < make_timestamp_ns($usual_to::BIGINT))
        )
        AND (parent_span_id IS NULL OR (NOT $of_users AND span_kind IN ('SERVER', 'CONSUMER')))
), present AS (
    SELECT
        service_name, operation,
        count(*) AS request_count,
        count(*) FILTER (status_code = 'ERROR') AS error_count,
        quantile_cont(duration_ns, [0.5, 0.95, 0.99]) AS quantiles_ns
    FROM requests
    WHERE is_now
    GROUP BY ALL
), minutes AS (
    SELECT
        service_name, operation,
        time_bucket(INTERVAL 1 MINUTE, start_time::TIMESTAMP) AS minute,
        count(*) AS request_count,
        count(*) FILTER (status_code = 'ERROR') / count(*) AS error_share,
        quantile_cont(duration_ns, 0.5) AS p50_ns,
        quantile_cont(duration_ns, 0.95) AS p95_ns
    FROM requests
    WHERE NOT is_now
    GROUP BY ALL
), usual AS (
    SELECT
        service_name, operation,
        count(*) AS usual_minutes,
        median(request_count) / 60 AS usual_rate_per_s,
        median(error_share) AS usual_error_share,
        quantile_cont(error_share, 0.95) AS high_error_share,
        median(p50_ns) AS usual_p50_ns,
        median(p95_ns) AS usual_p95_ns,
        quantile_cont(p95_ns, 0.95) AS high_p95_ns
    FROM minutes
    GROUP BY ALL
)
SELECT
    service_name, operation,
    coalesce(request_count, 0) AS request_count,
    coalesce(error_count, 0) AS error_count,
    quantiles_ns[1]::DOUBLE AS p50_ns,
    quantiles_ns[2]::DOUBLE AS p95_ns,
    quantiles_ns[3]::DOUBLE AS p99_ns,
    coalesce(usual_minutes, 0) AS usual_minutes,
    usual_rate_per_s, usual_error_share, high_error_share,
    usual_p50_ns::DOUBLE AS usual_p50_ns, usual_p95_ns::DOUBLE AS usual_p95_ns, high_p95_ns::DOUBLE AS high_p95_ns
FROM present
FULL JOIN usual USING (service_name, operation)
ORDER BY service_name, request_count DESC
LIMIT 500
