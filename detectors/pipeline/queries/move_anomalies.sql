-- The same whale, seen in a span that encloses the one known so far.
UPDATE anomalies
SET
    severity = m.severity, sigma = m.sigma, span_id = m.span_id, service_name = m.service_name,
    operation = m.operation, span_kind = m.span_kind,
    span_start_time = time_at(m.start_unix_nano), span_duration_ns = m.span_duration_ns,
    observed = m.observed, expected = m.expected, cell = m.cell, sample_count = m.sample_count,
    details = m.details::JSON
FROM moved_anomalies m
WHERE anomalies.anomaly_id = m.anomaly_id
