-- What was decided of one subject, newest first.
SELECT state, said_by, strftime(said_at, '%Y-%m-%dT%H:%M:%S.%n') || 'Z' AS said_at
FROM decisions
WHERE subject_kind = $subject_kind AND subject_id = $subject_id
ORDER BY decisions.said_at DESC, rowid DESC
LIMIT 50
