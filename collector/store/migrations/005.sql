-- Feedback is append-only: what stood in the table, one row for each rater, is the first revision.
CREATE TABLE IF NOT EXISTS feedback (
    feedback_id VARCHAR PRIMARY KEY, explanation_id VARCHAR NOT NULL, created_at TIMESTAMP_NS NOT NULL,
    updated_at TIMESTAMP_NS NOT NULL, rater VARCHAR NOT NULL, rating VARCHAR NOT NULL, correction JSON,
    comment VARCHAR, UNIQUE (explanation_id, rater)
);
CREATE TABLE feedback_events (
    feedback_id VARCHAR NOT NULL, revision INTEGER NOT NULL, explanation_id VARCHAR NOT NULL,
    said_at TIMESTAMP_NS NOT NULL, rater VARCHAR NOT NULL, rating VARCHAR NOT NULL, verdict VARCHAR NOT NULL,
    correction JSON, error_tags VARCHAR[] NOT NULL, comment VARCHAR, time_taken_s DOUBLE,
    is_adjudication BOOLEAN NOT NULL, PRIMARY KEY (feedback_id, revision)
);
INSERT INTO feedback_events
SELECT feedback_id, 1, explanation_id, updated_at, rater, rating,
       CASE rating WHEN 'up' THEN 'right' ELSE 'wrong' END, correction, [], comment, NULL, false
FROM feedback;
DROP TABLE feedback;
