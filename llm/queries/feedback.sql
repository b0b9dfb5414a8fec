-- All feedback on one explanation, the newest word first.
SELECT feedback_id, explanation_id, epoch_ns(created_at) AS created_unix_nano,
       epoch_ns(updated_at) AS updated_unix_nano, rater, rating, correction::VARCHAR AS correction, comment
FROM feedback
WHERE explanation_id = $explanation_id
ORDER BY updated_at DESC, feedback_id;
