-- Deletes versions of spans that a later version, stored next, replaces.
DELETE FROM {table} AS s
USING outdated AS o
WHERE s.trace_id = o.trace_id
  AND s.span_id = o.span_id
  AND s.span_kind = o.span_kind
  AND s.service_name = o.service_name
  AND s.start_time = o.start_time
