-- Whose amounts some traces carry: the first account that a span of each names.
SELECT
    trace_id,
    min(coalesce(
        attributes['user.id']::VARCHAR, attributes['enduser.id']::VARCHAR, attributes['account.id']::VARCHAR
    )) AS account
FROM spans
WHERE
    list_contains($trace_ids::VARCHAR[], trace_id)
    AND start_time >= make_timestamp_ns($since::BIGINT) AND start_time < make_timestamp_ns($until::BIGINT)
GROUP BY trace_id
