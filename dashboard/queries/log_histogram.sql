-- Log lines over time by severity.
SELECT
    epoch_ms(time_bucket(to_seconds($bucket_s), "time"::TIMESTAMP)) AS bucket_ms,
    CASE WHEN severity_number >= 17 THEN 'error' WHEN severity_number >= 13 THEN 'warning' ELSE 'other' END AS level,
    count(*) AS line_count
FROM logs
WHERE
    "time" >= make_timestamp_ns($since::BIGINT) AND "time" < make_timestamp_ns($until::BIGINT)
    AND ($service::VARCHAR IS NULL OR service_name = $service)
GROUP BY ALL
ORDER BY bucket_ms
LIMIT 3000
