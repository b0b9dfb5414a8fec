-- The engineer's verdict on an explanation: one row for each rater and explanation, the latest word counts.
CREATE TABLE IF NOT EXISTS feedback (
    feedback_id    VARCHAR PRIMARY KEY,
    explanation_id VARCHAR NOT NULL,      -- no foreign key: DuckDB would refuse updates of a rated explanation
    created_at     TIMESTAMP_NS NOT NULL,
    updated_at     TIMESTAMP_NS NOT NULL, -- later than created_at when the rater changed their mind
    rater          VARCHAR NOT NULL,      -- 'anonymous' where nobody said who
    rating         VARCHAR NOT NULL,      -- up | down
    correction     JSON,                  -- {summary?, root_service?, root_operation?, recommendations?}
    comment        VARCHAR,               -- for people; never exported
    UNIQUE (explanation_id, rater)
);
