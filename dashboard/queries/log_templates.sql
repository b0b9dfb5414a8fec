-- Log lines whose numbers and ids are masked, as templates with a count; the most severe first, then the most frequent.
WITH lines AS (
    SELECT
        "time", service_name, severity_number, severity_text, trace_id,
        split_part(
            CASE WHEN variant_typeof(body) = 'VARCHAR' THEN body::VARCHAR ELSE body::JSON::VARCHAR END, chr(10), 1
        ) AS body
    FROM logs
    WHERE
        "time" >= make_timestamp_ns($since::BIGINT) AND "time" < make_timestamp_ns($until::BIGINT)
        AND ($service::VARCHAR IS NULL OR service_name = $service)
        AND severity_number >= $least_severity
        AND ($trace_id::VARCHAR IS NULL OR trace_id = $trace_id)
)
SELECT
    left(regexp_replace(body, $mask, '*', 'g'), 400) AS template,
    service_name,
    max(severity_number) AS severity_number,
    any_value(severity_text) AS severity_text,
    count(*) AS line_count,
    count(DISTINCT trace_id) AS trace_count,
    epoch_ns(min("time"))::VARCHAR AS first_unix_nano,
    epoch_ns(max("time"))::VARCHAR AS last_unix_nano,
    arg_max(trace_id, "time") AS trace_id,
    any_value(left(body, 400)) AS example
FROM lines
WHERE $text::VARCHAR IS NULL OR contains(lower(body), lower($text))
GROUP BY template, service_name
ORDER BY (max(severity_number) >= 13) DESC, line_count DESC
LIMIT $limit
