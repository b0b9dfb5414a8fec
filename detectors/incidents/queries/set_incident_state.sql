UPDATE incidents SET state = $state WHERE incident_id = $incident_id
