-- Every span of a folder; each recording in the order of the ends of its spans, which is the order of landing.
SELECT
    trace_id, span_id, parent_span_id, service_name, operation, span_kind, start_unix_nano, duration_ns,
    status_code, status_message, raised, attributes_text AS attributes, split, run
FROM spans
ORDER BY run, start_unix_nano + duration_ns, span_id
