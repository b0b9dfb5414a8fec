-- Ratings of every explanation that a subject has had: a grown incident gets a new explanation, and the ratings of the
-- earlier one stay visible.
SELECT
    f.feedback_id, f.explanation_id, f.rater, f.rating, f.comment,
    f.correction::VARCHAR AS correction,
    strftime(f.updated_at::TIMESTAMP, '%Y-%m-%dT%H:%M:%SZ') AS updated_at
FROM feedback f
JOIN explanations e USING (explanation_id)
WHERE e.subject_kind = $kind AND e.subject_id = $subject_id
ORDER BY f.updated_at DESC
