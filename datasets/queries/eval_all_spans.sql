-- Every span of a folder in the order in which it ended, which is when it would have landed.
SELECT
    trace_id, span_id, parent_span_id, service_name, operation, span_kind, start_unix_nano, duration_ns,
    status_code, status_message, attributes_text AS attributes, split
FROM spans
ORDER BY start_unix_nano + duration_ns, span_id
