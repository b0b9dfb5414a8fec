-- Where the spans of a trace come from: resource, instrumentation scope and trace state, each combination once.
SELECT
    resource_attributes::JSON::VARCHAR AS resource, scope_name, scope_version, trace_state,
    list(span_id) AS span_ids
FROM spans
WHERE trace_id = $trace_id
GROUP BY ALL
ORDER BY len(span_ids) DESC
LIMIT 200
