-- An incident whose anomalies are all in one state is in that state.
UPDATE incidents
SET state = $state
WHERE
    incident_id = (SELECT incident_id FROM anomalies WHERE anomaly_id = $anomaly_id)
    AND state <> $state
    AND NOT EXISTS (
        FROM anomalies WHERE anomalies.incident_id = incidents.incident_id AND anomalies.state <> $state
    )
RETURNING incident_id
