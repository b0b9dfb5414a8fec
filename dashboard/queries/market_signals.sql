-- Whales and surveillance signals in a time range, newest first. The account stands in the span, not in the anomaly.
SELECT
    found.anomaly_id, found.detector, found.severity, found.sigma, found.trace_id, found.span_id,
    found.service_name, found.operation, epoch_ms(found.span_start_time) AS at_ms,
    found.observed, found.expected, found.unit, found.cell, found.state, found.incident_id,
    found.details::VARCHAR AS details,
    coalesce(
        carrier.attributes['user.id']::VARCHAR, carrier.attributes['enduser.id']::VARCHAR,
        carrier.attributes['account.id']::VARCHAR
    ) AS account
FROM anomalies AS found
LEFT JOIN spans AS carrier
    ON carrier.trace_id = found.trace_id AND carrier.span_id = found.span_id
    AND carrier.start_time >= make_timestamp_ns($since::BIGINT) AND carrier.start_time < make_timestamp_ns($until::BIGINT)
WHERE
    found.detector IN ('amount', 'market')
    AND found.span_start_time >= make_timestamp_ns($since::BIGINT)
    AND found.span_start_time < make_timestamp_ns($until::BIGINT)
ORDER BY found.span_start_time DESC, found.anomaly_id
LIMIT 500
