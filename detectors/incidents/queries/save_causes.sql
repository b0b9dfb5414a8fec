-- What localisation found, and no more of the row: detection, which owns the rest, goes on meanwhile.
UPDATE incidents
SET root_causes = $root_causes::JSON, title = $title
WHERE incident_id = $incident_id
RETURNING incident_id
