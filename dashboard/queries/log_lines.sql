-- Log lines by filter, newest first; a filter that is NULL lets everything pass.
WITH lines AS (
    SELECT
        "time", service_name, severity_number, severity_text, trace_id, span_id, attributes,
        CASE WHEN variant_typeof(body) = 'VARCHAR' THEN body::VARCHAR ELSE body::JSON::VARCHAR END AS body
    FROM logs
    WHERE
        "time" >= make_timestamp_ns($since::BIGINT) AND "time" < make_timestamp_ns($until::BIGINT)
        AND ($service::VARCHAR IS NULL OR service_name = $service)
        AND severity_number >= $least_severity
        AND ($trace_id::VARCHAR IS NULL OR trace_id = $trace_id)
)
SELECT
    epoch_ns("time")::VARCHAR AS unix_nano, service_name, severity_number, severity_text, trace_id, span_id,
    attributes::JSON::VARCHAR AS attributes, left(body, 4000) AS body
FROM lines
WHERE
    ($text::VARCHAR IS NULL OR contains(lower(body), lower($text)))
    AND (
        $template::VARCHAR IS NULL
        OR regexp_replace(split_part(body, chr(10), 1), $mask, '*', 'g') = $template
    )
ORDER BY "time" DESC
LIMIT $limit
