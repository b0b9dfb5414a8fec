-- The anomalies of a replay; `fired` names the detector and its rule. Only metrics have the last columns.
SELECT
    detector || coalesce(' ' || nullif(details ->> 'rule', ''), '') AS fired,
    severity, sigma, trace_id, service_name, operation, epoch_ns(span_start_time) AS start_unix_nano,
    incident_id, coalesce(details ->> 'text', '') AS text, detector, span_id, observed, expected, unit,
    (details ->> 'since_unix_nano')::BIGINT AS since_unix_nano,
    (details ->> 'until_unix_nano')::BIGINT AS until_unix_nano,
    if(epoch_ns(span_start_time) + greatest(span_duration_ns, 0) >= $test_from, 'test', 'baseline') AS split
FROM anomalies
ORDER BY start_unix_nano, anomaly_id
