-- Those of some spans that are stored.
SELECT trace_id, span_id, service_name, operation_of(span_name) AS operation, span_kind,
       epoch_ns(start_time) AS start_unix_nano, duration_ns
FROM spans
WHERE
    trace_id IN (SELECT unnest($trace_ids::VARCHAR[])) AND span_id IN (SELECT unnest($span_ids::VARCHAR[]))
    AND start_time >= time_at($earliest) AND start_time <= time_at($latest)
