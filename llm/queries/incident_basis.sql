-- What an incident's text rests on besides its size; $id is its incident_id.
SELECT title, kind, root_causes::VARCHAR AS root_causes,
       (SELECT list_sort(list(DISTINCT detector)) FROM anomalies AS a WHERE a.incident_id = i.incident_id) AS detectors
FROM incidents AS i
WHERE incident_id = $id;
