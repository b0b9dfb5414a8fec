-- What belonged to incidents that ended is over; what a person decided otherwise stands.
UPDATE anomalies
SET state = 'resolved', state_changed_at = make_timestamp_ns($now)
WHERE state = 'open' AND incident_id IN (SELECT unnest($incident_ids::VARCHAR[]))
