-- How far people have come with each incident: its anomalies by state.
SELECT
    incident_id,
    count(*) FILTER (state = 'open') AS open_count,
    count(*) FILTER (state = 'acknowledged') AS acknowledged_count,
    count(*) FILTER (state = 'snoozed') AS snoozed_count
FROM anomalies
WHERE incident_id IN (SELECT unnest($incident_ids::VARCHAR[]))
GROUP BY incident_id
