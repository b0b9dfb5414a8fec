-- A metric over time, one line for each service and set of attributes: the increase of a cumulative sum and of a
-- histogram, the mean of a gauge. The first point of a cumulative series has no predecessor to compare with.
WITH points AS (
    SELECT
        service_name,
        coalesce(attributes::JSON::VARCHAR, '{}') AS series,
        "time",
        metric_kind,
        temporality,
        coalesce(value_double, value_int::DOUBLE, "sum") AS figure,
        "count"::DOUBLE AS point_count,
        coalesce(temporality = 'CUMULATIVE' AND (is_monotonic OR metric_kind <> 'sum'), false) AS accumulates
    FROM metrics
    WHERE
        metric_name = $name
        AND "time" >= make_timestamp_ns($since::BIGINT) AND "time" < make_timestamp_ns($until::BIGINT)
        AND ($service::VARCHAR IS NULL OR service_name = $service)
), steps AS (
    SELECT
        *,
        figure - lag(figure) OVER series_over_time AS figure_step,
        point_count - lag(point_count) OVER series_over_time AS count_step
    FROM points
    WINDOW series_over_time AS (PARTITION BY service_name, series ORDER BY "time")
), stepped AS (
    SELECT
        service_name, series, "time", metric_kind,
        CASE
            WHEN NOT accumulates THEN figure
            WHEN figure_step IS NULL THEN NULL
            WHEN figure_step < 0 THEN figure  -- a restart
            ELSE figure_step
        END AS figure,
        CASE WHEN NOT accumulates THEN point_count WHEN count_step < 0 THEN point_count ELSE count_step END AS point_count
    FROM steps
)
SELECT
    service_name, series,
    epoch_ms(time_bucket(to_seconds($bucket_s), "time"::TIMESTAMP)) AS bucket_ms,
    CASE
        WHEN any_value(metric_kind) = 'gauge' THEN avg(figure)
        WHEN any_value(metric_kind) = 'sum' THEN sum(figure)
        ELSE sum(figure) / nullif(sum(point_count), 0)  -- a histogram's mean
    END AS figure
FROM stepped
GROUP BY service_name, series, bucket_ms
ORDER BY service_name, series, bucket_ms
LIMIT 20000
