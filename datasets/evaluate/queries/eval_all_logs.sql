-- Every log line of a folder in order of time, with the recording of its trace.
SELECT
    l.unix_nano, l.service_name, l.severity_number, l.body, t.run,
    if(l.in_trace, l.trace_id, NULL) AS trace_id, if(l.in_trace, l.span_id, NULL) AS span_id
FROM logs l
LEFT JOIN (SELECT trace_id, any_value(run) AS run FROM spans GROUP BY trace_id) t ON t.trace_id = l.trace_id
WHERE l.unix_nano IS NOT NULL AND l.service_name IS NOT NULL AND l.body IS NOT NULL
ORDER BY l.unix_nano, l.span_id, l.body
