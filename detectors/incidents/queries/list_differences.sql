SELECT * EXCLUDE (incident_id) FROM incident_differences WHERE incident_id = $incident_id ORDER BY rank
