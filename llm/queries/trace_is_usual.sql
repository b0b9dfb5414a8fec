-- Whether nothing about a trace is out of the ordinary: it was judged as usual, or has not been judged and none of its
-- spans of a known operation is beyond the 3σ of its durations; and no anomaly lies on it.
SELECT
    NOT EXISTS (FROM anomalies WHERE trace_id = $trace_id)
    AND coalesce(
        (SELECT anomaly_sigma < $trace_sigma FROM trace_scores WHERE trace_id = $trace_id),
        (
            SELECT bool_and(s.duration_ns <= b.sigma3_ns)
            FROM spans AS s
            JOIN baselines AS b
                ON b.service_name = s.service_name AND b.operation = operation_of(s.span_name) AND b.span_kind = s.span_kind
            WHERE s.trace_id = $trace_id AND b.cell = 'operation' AND b.state = 'ready'
        ),
        false
    ) AS is_usual
