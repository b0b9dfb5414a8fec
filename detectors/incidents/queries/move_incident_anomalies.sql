-- Those that were where the incident was: what a person decided of a single one stands.
UPDATE anomalies
SET state = $state, state_changed_at = make_timestamp_ns($now)
WHERE incident_id = $incident_id AND state = $previous
