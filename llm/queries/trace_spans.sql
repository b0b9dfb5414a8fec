-- All spans of one trace, without what only few of them are asked for (span_details.sql).
SELECT s.trace_id, s.span_id, s.parent_span_id, s.service_name, operation_of(s.span_name) AS span_name, s.span_kind,
       epoch_ns(s.start_time) AS start_unix_nano, s.duration_ns, s.status_code,
       s.links[1].trace_id AS linked_trace_id, s.links[1].span_id AS linked_span_id,
       len(list_filter(s.events, lambda e: e."name" = 'exception')) > 0 AS has_exception
FROM spans AS s
WHERE s.trace_id = $trace_id
ORDER BY s.start_time, s.span_id;
