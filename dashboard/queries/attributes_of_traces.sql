-- Attributes of the spans of some traces, as JSON text.
SELECT
    trace_id, service_name, span_name, status_code,
    attributes::JSON::VARCHAR AS attributes,
    resource_attributes::JSON::VARCHAR AS resource_attributes
FROM spans
WHERE list_contains($trace_ids::VARCHAR[], trace_id)
    AND start_time >= make_timestamp_ns($since::BIGINT) AND start_time < make_timestamp_ns($until::BIGINT)
LIMIT 20000
