-- How many anomalies of an incident began in each ten seconds.
SELECT
    epoch_ms(time_bucket(INTERVAL 10 SECOND, span_start_time::TIMESTAMP)) AS bucket_ms,
    count(*) AS anomaly_count
FROM anomalies
WHERE incident_id = $incident_id
GROUP BY bucket_ms
ORDER BY bucket_ms DESC
LIMIT 720
