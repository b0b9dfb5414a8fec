-- Operations of a service in a range of time, each with the kinds of its spans. Without a kind: of all.
SELECT DISTINCT span_name AS "name", lower(span_kind) AS kind
FROM spans
WHERE start_time >= make_timestamp_ns($from_ns::BIGINT)
  AND start_time < make_timestamp_ns($until_ns::BIGINT)
  AND service_name = $service::VARCHAR
  AND ($kind::VARCHAR = '' OR span_kind = upper($kind::VARCHAR))
ORDER BY "name", kind
