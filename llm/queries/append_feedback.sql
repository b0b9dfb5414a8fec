INSERT INTO feedback_events BY NAME
SELECT $feedback_id AS feedback_id, $revision AS revision, $explanation_id AS explanation_id,
       make_timestamp_ns($now_unix_nano) AS said_at, $rater AS rater, $rating AS rating, $verdict AS verdict,
       $correction::JSON AS correction, $error_tags::VARCHAR[] AS error_tags, $comment AS comment,
       $time_taken_s::DOUBLE AS time_taken_s, $is_adjudication AS is_adjudication;
