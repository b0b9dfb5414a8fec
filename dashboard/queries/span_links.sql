-- The links from the waterfall's spans, and the links to this trace.
SELECT span_id, link.trace_id AS linked_trace_id, link.span_id AS linked_span_id
FROM (SELECT span_id, unnest(links) AS link FROM spans WHERE trace_id = $trace_id AND len(links) > 0)
LIMIT 500
