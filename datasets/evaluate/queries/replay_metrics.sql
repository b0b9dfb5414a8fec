-- Metric points of a folder as landing would have stored them; packed as the spans.
INSERT INTO metrics_packed BY NAME
SELECT
    batch_id, service_name, metric_name, '' AS metric_description, metric_unit, metric_kind, temporality,
    is_monotonic, make_timestamp_ns(start_unix_nano) AS start_time, make_timestamp_ns(unix_nano) AS "time",
    value_double, value_int, sample_count AS "count", sample_sum AS "sum", 0 AS flags,
    packed.metadata || packed.value AS attributes, 0 AS resource_dropped_attributes_count,
    '' AS resource_schema_url, '' AS scope_name, '' AS scope_version, 0 AS scope_dropped_attributes_count,
    '' AS scope_schema_url
FROM (
    SELECT
        *,
        variant_to_parquet_variant(TRY_CAST(attributes AS JSON)::VARIANT)::STRUCT(metadata BLOB, value BLOB) AS packed
    FROM replayed_metrics
)
