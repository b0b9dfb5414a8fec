-- What a replay has flagged; `fired` names the detector and its rule.
SELECT
    detector || coalesce(' ' || nullif(details ->> 'rule', ''), '') AS fired,
    severity, sigma, trace_id, service_name, operation, epoch_ns(span_start_time) AS span_start_unix_nano,
    incident_id, coalesce(details ->> 'text', '') AS text
FROM anomalies
ORDER BY span_start_unix_nano, anomaly_id
