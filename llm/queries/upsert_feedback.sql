-- One row for each rater and explanation: a second rating replaces the first and keeps its id and birth.
INSERT INTO feedback
    (feedback_id, explanation_id, created_at, updated_at, rater, rating, correction, comment)
VALUES ($feedback_id, $explanation_id, make_timestamp_ns($now_unix_nano), make_timestamp_ns($now_unix_nano),
        $rater, $rating, $correction::JSON, $comment)
ON CONFLICT (explanation_id, rater) DO UPDATE SET
    updated_at = excluded.updated_at, rating = excluded.rating,
    correction = excluded.correction, comment = excluded.comment;
