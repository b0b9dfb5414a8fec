-- Log lines of a folder as landing would have stored them.
INSERT INTO logs_recent BY NAME
SELECT
    batch_id, make_timestamp_ns(unix_nano) AS "time", make_timestamp_ns(unix_nano) AS observed_time,
    trace_id, span_id, 0 AS flags, service_name, severity_number, '' AS severity_text, '' AS event_name,
    body::VARIANT AS body, 0 AS dropped_attributes_count, 0 AS resource_dropped_attributes_count,
    '' AS resource_schema_url, '' AS scope_name, '' AS scope_version, 0 AS scope_dropped_attributes_count,
    '' AS scope_schema_url
FROM replayed_logs
