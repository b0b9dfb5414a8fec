-- The end of insert_anomalies.sql where spans are judged again: that changes nothing.
ON CONFLICT (anomaly_id) DO NOTHING
