-- The anomalies of a replay; `fired` names the detector and its rule.
-- since and until: only of metrics. window_since and window_until: only of what states its own stretch.
SELECT
    detector || coalesce(' ' || nullif(details ->> 'rule', ''), '') AS fired,
    severity, sigma, trace_id, service_name, operation, epoch_ns(span_start_time) AS start_unix_nano,
    incident_id, coalesce(details ->> 'text', '') AS text, detector, span_id, observed, expected, unit,
    (details ->> 'since_unix_nano')::BIGINT AS since_unix_nano,
    (details ->> 'until_unix_nano')::BIGINT AS until_unix_nano,
    (details ->> 'since_unix_s')::BIGINT * 1_000_000_000 AS window_since_unix_nano,
    coalesce(
        (details ->> 'until_unix_s')::BIGINT,
        (details ->> 'since_unix_s')::BIGINT + (details ->> 'window_s')::BIGINT
    ) * 1_000_000_000 AS window_until_unix_nano,
    if(epoch_ns(span_start_time) + greatest(span_duration_ns, 0) >= $test_from, 'test', 'baseline') AS split
FROM anomalies
ORDER BY start_unix_nano, anomaly_id
