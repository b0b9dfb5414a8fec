-- The anomalies that an incident stands for, the worst first; bounded, because each is moved on its own.
SELECT anomaly_id, state
FROM anomalies
WHERE incident_id = $incident_id
ORDER BY severity, sigma DESC, anomaly_id
LIMIT $most
