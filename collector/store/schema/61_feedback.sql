-- Engineers' verdicts on explanations, word for word and permanent: a later verdict is a further row.
CREATE TABLE IF NOT EXISTS feedback_events (
    feedback_id     VARCHAR NOT NULL,      -- of one reviewer on one explanation, through all revisions
    revision        INTEGER NOT NULL,      -- 1, 2, …: the last one counts
    explanation_id  VARCHAR NOT NULL,      -- no foreign key: DuckDB would refuse updates of a rated explanation
    said_at         TIMESTAMP_NS NOT NULL,
    rater           VARCHAR NOT NULL,      -- 'anonymous' where nobody said who
    rating          VARCHAR NOT NULL,      -- up | down: `verdict` as older clients know it
    verdict         VARCHAR NOT NULL,      -- right | partly_right | wrong
    correction      JSON,                  -- {summary?, root_service?, root_operation?, root_span_id?, recommendations?}
    error_tags      VARCHAR[] NOT NULL,    -- what was wrong, of a closed list (llm/reviews/verdict.py)
    comment         VARCHAR,               -- for people; never exported
    time_taken_s    DOUBLE,                -- from reading to judging; NULL where the client does not measure
    is_adjudication BOOLEAN NOT NULL,      -- a third reviewer's decision between two that disagree
    PRIMARY KEY (feedback_id, revision)
);
CREATE INDEX IF NOT EXISTS feedback_events_by_explanation ON feedback_events (explanation_id);
-- The latest word of each reviewer on each explanation.
CREATE OR REPLACE VIEW feedback AS
SELECT
    feedback_id, explanation_id,
    min(said_at) OVER word AS created_at,
    said_at AS updated_at,                 -- later than created_at when the reviewer changed their mind
    rater, rating, correction, comment, verdict, error_tags, time_taken_s, is_adjudication, revision
FROM feedback_events
WINDOW word AS (PARTITION BY feedback_id)
QUALIFY revision = max(revision) OVER word;
