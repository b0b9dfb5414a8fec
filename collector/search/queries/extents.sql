-- When the spans of the given traces begin: two columns of the hours around what was found.
SELECT min(epoch_ns(start_time)) AS first_ns, max(epoch_ns(start_time)) AS last_ns
FROM spans
WHERE trace_id IN (SELECT unnest($trace_ids::VARCHAR[]))
  AND start_time >= make_timestamp_ns($from_ns::BIGINT)
  AND start_time < make_timestamp_ns($until_ns::BIGINT)
GROUP BY trace_id
ORDER BY first_ns
