-- Chosen spans of one trace, with all that their senders told of them.
SELECT span_id, service_name, operation_of(span_name) AS span_name, status_code, status_message,
       attributes::JSON::VARCHAR AS attributes,
       list_transform(events, lambda e: {'name': e."name", 'attributes': e.attributes::JSON})::JSON::VARCHAR AS events
FROM spans
WHERE trace_id = $trace_id AND span_id IN (SELECT unnest($span_ids::VARCHAR[]))
ORDER BY start_time, span_id
