-- What some traces wrote to the log. Lines of a trace, since only they can be laid to an operation.
SELECT trace_id, span_id, service_name, severity_number, body::VARCHAR AS body
FROM logs
WHERE
    trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))
    AND "time" >= time_at($earliest) AND "time" <= time_at($latest)
