-- Services with spans in a range of time.
SELECT DISTINCT service_name AS "name"
FROM spans
WHERE start_time >= make_timestamp_ns($from_ns::BIGINT) AND start_time < make_timestamp_ns($until_ns::BIGINT)
ORDER BY "name"
