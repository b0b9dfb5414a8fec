-- Whole traces of an operation since a moment, at most so many: what the operation's new baseline is learned from.
-- What was flagged is normal now.
WITH own AS (
    SELECT trace_id, start_time, duration_ns
    FROM spans
    WHERE
        service_name = $service AND operation_of(span_name) = $operation AND span_kind = $kind
        AND start_time >= time_at($since) AND start_time <= time_at($until)
        AND batch_id <= $upto
), chosen AS (
    SELECT DISTINCT trace_id FROM own ORDER BY hash(trace_id) LIMIT $most
)
SELECT s.* EXCLUDE (callee, batch_id), s.batch_id <= $upto AS is_new, false AS flagged, false AS in_incident
FROM whole_traces('own', $since::HUGEINT - 60000000000, 9223372036854775807) s
WHERE s.trace_id IN (SELECT trace_id FROM chosen)
