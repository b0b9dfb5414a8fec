-- The latest word of each reviewer on one explanation, the newest first.
SELECT feedback_id, explanation_id, epoch_ns(created_at) AS created_unix_nano,
       epoch_ns(updated_at) AS updated_unix_nano, rater, rating, verdict, correction::VARCHAR AS correction,
       error_tags, comment, time_taken_s, is_adjudication, revision
FROM feedback
WHERE explanation_id = $explanation_id
ORDER BY updated_at DESC, feedback_id;
