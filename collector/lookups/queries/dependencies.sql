-- Which service calls which, itself too, in a range of time, and how often.
SELECT parent.service_name AS caller, child.service_name AS callee, count(*) AS call_count
FROM spans AS child
JOIN spans AS parent
    ON parent.trace_id = child.trace_id AND parent.span_id = child.parent_span_id
WHERE child.start_time >= make_timestamp_ns($from_ns::BIGINT)
  AND child.start_time < make_timestamp_ns($until_ns::BIGINT)
  AND parent.start_time >= make_timestamp_ns($parents_from_ns::BIGINT)
  AND parent.start_time < make_timestamp_ns($until_ns::BIGINT)
GROUP BY ALL
ORDER BY caller, callee
