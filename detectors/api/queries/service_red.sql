-- Rate, errors, duration of each service over a window, and what is wrong with it.
-- Open anomalies count for a quarter of an hour: older ones are for the queue, not for the present status.
WITH red AS (
    SELECT
        service_name,
        count(*) AS span_count,
        count(*) / $window_s AS rate_per_s,
        count(*) FILTER (status_code = 'ERROR') / count(*) AS error_rate,
        quantile_cont(duration_ns, [0.5, 0.95, 0.99]) AS quantiles_ns
    FROM spans
    WHERE start_time >= time_at($since) AND start_time <= make_timestamp_ns($now)
    GROUP BY service_name
), troubled AS (
    SELECT service_name, count(*) AS incident_count
    FROM (
        SELECT unnest(i.services) AS service_name
        FROM incidents i
        JOIN detector_roles r ON r.detector = i.kind
        WHERE i.state <> 'resolved' AND r.degrades
    )
    GROUP BY service_name
), flagged AS (
    SELECT service_name, count(*) AS open_anomalies
    FROM anomalies
    WHERE state = 'open' AND detected_at >= make_timestamp_ns($now - 900000000000)
    GROUP BY service_name
), learned AS (
    SELECT service_name, count(*) AS ready_count FROM baselines WHERE state = 'ready' GROUP BY service_name
)
SELECT
    red.service_name,
    CASE
        WHEN coalesce(incident_count, 0) > 0 THEN 'degraded'
        WHEN coalesce(ready_count, 0) = 0 THEN 'learning'
        ELSE 'ok'
    END AS status,
    span_count,
    rate_per_s,
    error_rate,
    quantiles_ns[1] AS p50_ns,
    quantiles_ns[2] AS p95_ns,
    quantiles_ns[3] AS p99_ns,
    coalesce(open_anomalies, 0) AS open_anomalies
FROM red
LEFT JOIN troubled USING (service_name)
LEFT JOIN flagged USING (service_name)
LEFT JOIN learned USING (service_name)
ORDER BY red.service_name
