-- Anomalies that stood alone and now belong to an incident.
UPDATE anomalies
SET incident_id = p.incident_id
FROM promoted_anomalies p
WHERE anomalies.anomaly_id = p.anomaly_id
