-- Whales and surveillance signals in a time range, newest first.
SELECT
    anomaly_id, detector, severity, sigma, trace_id, span_id, service_name, operation,
    epoch_ms(span_start_time) AS at_ms, observed, expected, unit, cell, state, incident_id,
    details::VARCHAR AS details
FROM anomalies
WHERE
    (detector = 'market' OR detector = 'amount' AND details->>'kind' IN ('order', 'transfer'))
    AND span_start_time >= make_timestamp_ns($since::BIGINT)
    AND span_start_time < make_timestamp_ns($until::BIGINT)
ORDER BY span_start_time DESC, anomaly_id
LIMIT 500
