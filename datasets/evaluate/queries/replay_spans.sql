-- Spans of a folder as landing would have stored them; values that the folder lacks are empty. Packed, since nobody has
-- counted the keys, and DuckDB would make a column of each.
INSERT INTO spans_packed BY NAME
SELECT
    batch_id, trace_id, span_id, parent_span_id, '' AS trace_state, 0 AS flags, service_name, operation AS span_name,
    span_kind, make_timestamp_ns(start_unix_nano) AS start_time, duration_ns, status_code, status_message,
    packed.metadata || packed.value AS attributes, 0 AS dropped_attributes_count,
    if(
        raised,
        [{'time': make_timestamp_ns(start_unix_nano), 'name': 'exception', 'attributes': NULL,
          'dropped_attributes_count': 0}],
        []
    ) AS events, 0 AS dropped_events_count, [] AS links, 0 AS dropped_links_count,
    NULL AS resource_attributes, 0 AS resource_dropped_attributes_count,
    '' AS resource_schema_url, '' AS scope_name, '' AS scope_version, NULL AS scope_attributes,
    0 AS scope_dropped_attributes_count, '' AS scope_schema_url
FROM (
    SELECT
        *,
        variant_to_parquet_variant(TRY_CAST(attributes AS JSON)::VARIANT)::STRUCT(metadata BLOB, value BLOB) AS packed
    FROM replayed_spans
)
