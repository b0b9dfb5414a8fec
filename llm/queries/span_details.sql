-- Single spans by trace and span id, with all that is told of them and the usual time of their operation.
SELECT s.trace_id, s.span_id, s.parent_span_id, s.service_name, operation_of(s.span_name) AS span_name, s.span_kind,
       epoch_ns(s.start_time) AS start_unix_nano, s.duration_ns, s.status_code, s.status_message,
       s.attributes::JSON::VARCHAR AS attributes,
       list_filter(s.events, lambda e: e."name" = 'exception')[-1].attributes::JSON::VARCHAR AS exception,
       b.p50_ns, b.self_time_p50_ns, b.sample_count
FROM spans AS s
LEFT JOIN baselines AS b
    ON b.service_name = s.service_name AND b.operation = operation_of(s.span_name) AND b.span_kind = s.span_kind
    AND b.cell = 'operation' AND b.state = 'ready'
WHERE s.trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))
  AND s.span_id IN (SELECT unnest($span_ids::VARCHAR[]));
