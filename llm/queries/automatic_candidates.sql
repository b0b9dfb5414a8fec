-- Incidents that are to be explained without being asked for: bad enough, not resolved, seen since $since, worst
-- and newest first. Very new ones wait until their causes are found, or $settled has passed.
SELECT incident_id, severity, anomaly_count, md5(title || root_causes::VARCHAR) AS said
FROM incidents
WHERE severity <= $severity
  AND state != 'resolved'
  AND last_seen_at >= make_timestamp_ns($since)
  AND (json_array_length(root_causes) > 0 OR opened_at <= make_timestamp_ns($settled))
ORDER BY severity, last_seen_at DESC, incident_id
LIMIT $limit;
