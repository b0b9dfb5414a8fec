-- The metrics that have landed in a time range, and their services.
SELECT
    metric_name,
    any_value(metric_kind) AS metric_kind,
    any_value(metric_unit) AS metric_unit,
    any_value(metric_description) AS metric_description,
    list_sort(list(DISTINCT service_name)) AS services,
    count(*) AS point_count
FROM metrics
WHERE "time" >= make_timestamp_ns($since::BIGINT) AND "time" < make_timestamp_ns($until::BIGINT)
GROUP BY metric_name
ORDER BY metric_name
LIMIT 2000
