-- The stored spans with the ids of suspected retries, in the order of `_COMPARED` in dedupe.py.
SELECT
    trace_id, span_id, span_kind, service_name, epoch_ns(start_time),
    duration_ns, span_name, parent_span_id, status_code, status_message
FROM spans
SEMI JOIN suspects USING (trace_id, span_id)
