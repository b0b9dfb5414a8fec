-- The traces of the newest spans that may belong to a result. {condition} is made of constant words and parameters.
SELECT
    trace_id,
    max(epoch_ns(start_time)) AS newest_ns,
    min(epoch_ns(start_time)) AS oldest_ns,
    count(*) AS span_count
FROM (
    SELECT trace_id, start_time
    FROM spans
    WHERE start_time >= make_timestamp_ns($from_ns::BIGINT)
      AND start_time < make_timestamp_ns($until_ns::BIGINT)
      AND {condition}
    ORDER BY start_time DESC
    LIMIT $most::BIGINT
)
GROUP BY trace_id
ORDER BY newest_ns DESC, trace_id
