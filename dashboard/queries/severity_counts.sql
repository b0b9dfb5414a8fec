-- Anomalies that nobody has dealt with yet, by severity.
SELECT severity, count(*) AS anomaly_count
FROM anomalies
WHERE state IN ('open', 'acknowledged')
GROUP BY severity
ORDER BY severity
