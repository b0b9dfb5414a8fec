UPDATE anomalies
SET state = $state, state_changed_at = make_timestamp_ns($now)
WHERE anomaly_id = $anomaly_id
