-- Operations of a service in a time range, with their usual values; the largest total time first.
WITH calls AS (
    SELECT
        operation_of(span_name) AS operation, span_kind,
        count(*) AS call_count,
        count(*) FILTER (status_code = 'ERROR') AS error_count,
        quantile_cont(duration_ns, [0.5, 0.95, 0.99]) AS quantiles_ns,
        sum(duration_ns)::DOUBLE AS total_ns,
        arg_max(trace_id, duration_ns) AS slowest_trace_id
    FROM spans
    WHERE
        service_name = $service
        AND start_time >= make_timestamp_ns($since::BIGINT) AND start_time < make_timestamp_ns($until::BIGINT)
    GROUP BY ALL
), usual AS (
    SELECT
        operation, span_kind,
        arg_max(p50_ns, sample_count) AS usual_p50_ns,
        arg_max(p99_ns, sample_count) AS usual_p99_ns,
        arg_max(sigma3_ns, sample_count) AS sigma3_ns,
        max(sample_count) AS sample_count,
        arg_max(flagged_count, sample_count) AS flagged_count,
        arg_max(state, sample_count) AS state
    FROM baselines
    WHERE service_name = $service AND cell = 'operation'
    GROUP BY ALL
)
SELECT
    operation, span_kind, call_count, error_count,
    quantiles_ns[1]::DOUBLE AS p50_ns, quantiles_ns[2]::DOUBLE AS p95_ns, quantiles_ns[3]::DOUBLE AS p99_ns,
    total_ns, slowest_trace_id,
    usual_p50_ns, usual_p99_ns, sigma3_ns, sample_count, flagged_count, state
FROM calls
LEFT JOIN usual USING (operation, span_kind)
ORDER BY total_ns DESC
LIMIT 200
