SELECT strftime("time"::TIMESTAMP, '%H:%M:%S.%g') AS "time", severity_text AS severity, service_name AS service,
       span_id, body::VARCHAR AS body
FROM logs
WHERE trace_id = $trace_id
ORDER BY logs."time", span_id
