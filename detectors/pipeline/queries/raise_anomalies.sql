-- Anomalies that the spans after them have made worse; what a person decided about them stands.
UPDATE anomalies
SET severity = r.severity, sigma = r.sigma, details = r.details::JSON
FROM raised_anomalies r
WHERE anomalies.anomaly_id = r.anomaly_id
