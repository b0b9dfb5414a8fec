-- What localisation found, and no more of the row: detection, which owns the rest, goes on meanwhile.
UPDATE incidents
SET
    root_causes = $root_causes::JSON,
    title = CASE
        WHEN kind <> 'metric' AND epoch_ns(last_seen_at) - epoch_ns(opened_at) > 60e9 THEN title
        ELSE $title
    END
WHERE incident_id = $incident_id
RETURNING incident_id
