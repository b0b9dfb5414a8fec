SELECT i.incident_id
FROM explanations e
LEFT JOIN incidents i ON i.incident_id = e.group_id
WHERE e.explanation_id = $explanation_id
