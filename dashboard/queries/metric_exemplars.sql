-- Exemplars of a metric: the way from a figure to a trace.
SELECT
    epoch_ms(exemplar."time"::TIMESTAMP) AS time_ms,
    coalesce(exemplar.value_double, exemplar.value_int::DOUBLE) AS figure,
    exemplar.trace_id AS trace_id,
    exemplar.span_id AS span_id,
    service_name
FROM (
    SELECT service_name, unnest(exemplars) AS exemplar
    FROM metrics
    WHERE
        metric_name = $name
        AND "time" >= make_timestamp_ns($since::BIGINT) AND "time" < make_timestamp_ns($until::BIGINT)
        AND ($service::VARCHAR IS NULL OR service_name = $service)
        AND len(exemplars) > 0
)
WHERE exemplar.trace_id IS NOT NULL
ORDER BY figure DESC
LIMIT 200
