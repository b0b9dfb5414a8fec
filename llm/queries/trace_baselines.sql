-- The usual times of a trace's operations, where they are known.
SELECT b.service_name, b.operation, b.span_kind, b.p50_ns, b.self_time_p50_ns, b.sample_count
FROM baselines AS b
SEMI JOIN (SELECT DISTINCT service_name, operation_of(span_name) AS operation, span_kind FROM spans WHERE trace_id = $trace_id) AS s
    ON b.service_name = s.service_name AND b.operation = s.operation AND b.span_kind = s.span_kind
WHERE b.cell = 'operation' AND b.state = 'ready';
