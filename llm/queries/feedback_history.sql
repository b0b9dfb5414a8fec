-- Every word on one explanation, the oldest first.
SELECT feedback_id, revision, epoch_ns(said_at) AS said_unix_nano, rater, rating, verdict,
       correction::VARCHAR AS correction, error_tags, comment, time_taken_s, is_adjudication
FROM feedback_events
WHERE explanation_id = $explanation_id
ORDER BY said_at, feedback_id, revision;
