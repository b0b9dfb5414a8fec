-- Anomalies that stood alone and now belong to an incident.
UPDATE anomalies
SET
    incident_id = p.incident_id,
    state = CASE
        WHEN anomalies.state = 'open'
            THEN coalesce((SELECT i.state FROM incidents i WHERE i.incident_id = p.incident_id), 'open')
        ELSE anomalies.state
    END
FROM promoted_anomalies p
WHERE anomalies.anomaly_id = p.anomaly_id
