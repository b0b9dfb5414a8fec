-- Metric points of some batches, in order of time; a series is a metric of a service with its attributes.
SELECT
    batch_id, service_name, metric_name, metric_unit, metric_kind, coalesce(temporality, '') AS temporality,
    coalesce(is_monotonic, false) AS is_monotonic,
    coalesce(attributes::VARCHAR, '') AS attributes,
    concat_ws(chr(31), service_name, metric_name, coalesce(attributes::VARCHAR, '')) AS series,
    epoch_ns("time") AS unix_nano,
    coalesce(epoch_ns(start_time), 0) AS since_unix_nano,
    coalesce(value_double, value_int::DOUBLE) AS figure,
    value_int IS NOT NULL AS is_count,
    "count"::DOUBLE AS sample_count,
    "sum" AS sample_sum
FROM metrics
WHERE batch_id > $after AND batch_id <= $upto AND flags % 2 = 0
ORDER BY "time"
