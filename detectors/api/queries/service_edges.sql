-- Calls between services: spans whose parent belongs to another service. The duration is the callee's.
SELECT
    caller.service_name AS caller,
    callee.service_name AS callee,
    count(*) AS "count",
    count(*) FILTER (callee.status_code = 'ERROR') AS errors,
    quantile_cont(callee.duration_ns, 0.5) AS p50_ns,
    quantile_cont(callee.duration_ns, 0.95) AS p95_ns,
    -- since its first call in the window, a minute at least: a young edge is not thinned over all of the window
    greatest(60.0, ($now - epoch_ns(min(callee.start_time))) / 1e9) AS observed_s
FROM spans callee
JOIN spans caller ON caller.trace_id = callee.trace_id AND caller.span_id = callee.parent_span_id
WHERE
    callee.service_name <> caller.service_name
    AND callee.start_time >= time_at($since) AND callee.start_time <= make_timestamp_ns($now)
    AND caller.start_time >= time_at($since - 300000000000)
GROUP BY ALL
ORDER BY caller, callee
