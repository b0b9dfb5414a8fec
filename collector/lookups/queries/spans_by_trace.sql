-- All that is stored of the spans of the given traces, in the order in which they began.
SELECT
    trace_id, span_id, parent_span_id, trace_state, flags, service_name, span_name, span_kind,
    epoch_ns(start_time) AS start_ns, duration_ns, status_code, status_message,
    attributes, dropped_attributes_count,
    list_transform(events, lambda e: struct_pack(
        time_ns := epoch_ns(e."time"), "name" := e."name", attributes := e.attributes,
        dropped_attributes_count := e.dropped_attributes_count
    )) AS events,
    dropped_events_count, links, dropped_links_count,
    resource_attributes, resource_dropped_attributes_count, resource_schema_url,
    scope_name, scope_version, scope_attributes, scope_dropped_attributes_count, scope_schema_url
FROM spans
WHERE trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))
  AND start_time >= make_timestamp_ns($from_ns::BIGINT)
  AND start_time < make_timestamp_ns($until_ns::BIGINT)
ORDER BY trace_id, start_time, span_id, span_kind
