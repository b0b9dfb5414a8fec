-- Spans of an operation in some time that made no call of another.
SELECT trace_id, span_id, epoch_ns(start_time) AS start_unix_nano, duration_ns
FROM spans AS parent
WHERE
    service_name = $service AND operation_of(span_name) = $operation AND span_kind = $kind
    AND ($callee = '' OR callee_of(span_kind, attributes) = $callee)
    AND start_time >= time_at($since::HUGEINT - 60000000000) AND start_time < time_at($until)
    AND epoch_ns(start_time) + duration_ns >= $since AND epoch_ns(start_time) + duration_ns < $until
    AND NOT EXISTS (
        FROM spans AS child
        WHERE
            child.trace_id = parent.trace_id AND child.parent_span_id = parent.span_id
            AND child.service_name = $child_service AND operation_of(child.span_name) = $child_operation
            AND ($child_callee = '' OR callee_of(child.span_kind, child.attributes) = $child_callee)
            AND child.start_time >= time_at($since::HUGEINT - 60000000000)
            AND child.start_time < time_at($until::HUGEINT + 60000000000)
    )
ORDER BY start_time DESC
LIMIT 25
