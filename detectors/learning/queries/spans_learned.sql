-- Whole traces of an operation's spans of a stretch of time, as far as they have been learned; and when each was
-- flagged, since what had not been flagged by then was learned.
WITH own AS (
    SELECT trace_id, span_id, start_time, duration_ns
    FROM spans
    WHERE
        service_name = $service AND operation_of(span_name) = $operation AND span_kind = $kind
        AND start_time >= time_at($since) AND start_time < time_at($until)
        AND batch_id > $after AND batch_id <= $upto
), noticed AS (
    SELECT trace_id, span_id, min(detected_at) AS detected_at
    FROM (
        SELECT trace_id, span_id, detected_at FROM anomalies JOIN detector_roles USING (detector) WHERE flags_span
        UNION ALL
        SELECT trace_id, span_id, detected_at FROM held_spans
    )
    GROUP BY trace_id, span_id
)
SELECT
    s.* EXCLUDE (failed, callee),
    epoch_ns(n.detected_at) AS flagged_unix_nano,
    (s.trace_id, s.span_id) IN (SELECT (trace_id, span_id) FROM own) AS is_own
FROM whole_traces('own', $since::HUGEINT - 60000000000, 9223372036854775807) s
LEFT JOIN noticed n ON n.trace_id = s.trace_id AND n.span_id = s.span_id
WHERE s.batch_id <= $upto
