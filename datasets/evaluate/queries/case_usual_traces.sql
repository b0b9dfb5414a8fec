-- Traces that began before a case and are in no incident, the nearest to it first.
SELECT trace_id
FROM spans
WHERE parent_span_id IS NULL
  AND start_time >= make_timestamp_ns($from) AND start_time < make_timestamp_ns($until)
  AND trace_id NOT IN (SELECT trace_id FROM anomalies)
ORDER BY start_time DESC, trace_id
LIMIT $limit
