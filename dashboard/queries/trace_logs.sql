-- Log lines of one trace, in order.
SELECT
    epoch_ns("time")::VARCHAR AS unix_nano,
    span_id, service_name, severity_number, severity_text,
    CASE WHEN variant_typeof(body) = 'VARCHAR' THEN body::VARCHAR ELSE body::JSON::VARCHAR END AS body
FROM logs
WHERE trace_id = $trace_id
ORDER BY "time"
LIMIT 500
